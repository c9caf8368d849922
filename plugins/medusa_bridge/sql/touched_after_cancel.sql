-- $1 order_ids
-- Of these orders, those that are canceled and that something happened to: money taken or still held, goods packed,
-- or stock reserved by a checkout that had made the order first.
select o.id
from "order" as o
where o.id = any($1::text[]) and (o.status = 'canceled' or o.canceled_at is not null)
    and (
        exists (
            select
            from order_payment_collection as l
            join payment as p on p.payment_collection_id = l.payment_collection_id and p.deleted_at is null
            where l.order_id = o.id and l.deleted_at is null and (p.captured_at is not null or p.canceled_at is null)
        )
        or exists (
            select
            from order_item as i
            join reservation_item as r on r.line_item_id = i.item_id and r.deleted_at is null
            where i.order_id = o.id and i.deleted_at is null
        )
        or exists (
            select
            from order_fulfillment as l
            join fulfillment as f on f.id = l.fulfillment_id
            where l.order_id = o.id and l.deleted_at is null and f.deleted_at is null and f.canceled_at is null
        )
    )
