-- $1 order_ids
-- Of these orders, those that are canceled and that something happened to: money taken or still held, goods packed,
-- or stock reserved by a checkout that had made the order first.
-- Order by order: "exists" beside "or" may be planned to read the tables whole.
select o.id
from "order" as o
where o.id = any($1::text[]) and (o.status = 'canceled' or o.canceled_at is not null)
    and (
        (
            select 1
            from order_payment_collection as l
            cross join lateral (
                select p.captured_at, p.canceled_at
                from payment as p
                where p.payment_collection_id = l.payment_collection_id and p.deleted_at is null
                offset 0
            ) as p
            where l.order_id = o.id and (l.deleted_at is null) is true
                and (p.captured_at is not null or p.canceled_at is null)
            limit 1
        ) is not null
        or (
            select 1
            from order_item as i
            cross join lateral (
                select r.id
                from reservation_item as r
                where r.line_item_id = i.item_id and r.deleted_at is null
                offset 0
            ) as r
            where i.order_id = o.id and i.deleted_at is null
            limit 1
        ) is not null
        or (
            select 1
            from order_fulfillment as l
            cross join lateral (
                select f.id
                from fulfillment as f
                where f.id = l.fulfillment_id and (f.deleted_at is null) is true and f.canceled_at is null
                offset 0
            ) as f
            where l.order_id = o.id and (l.deleted_at is null) is true
            limit 1
        ) is not null
    )
