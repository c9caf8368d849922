-- $1 an id of an order, payment or PaymentIntent, $2 the same as a display number, or null
select o.id
from "order" as o
where o.deleted_at is null and not o.is_draft_order and o.status <> 'draft'
    and (
        o.id = $1
        or o.display_id = $2
        or o.id in (
            select l.order_id
            from payment as p
            join order_payment_collection as l
                on l.payment_collection_id = p.payment_collection_id and l.deleted_at is null
            where p.deleted_at is null and (p.id = $1 or ($1 like 'pi\_%' and p.data ->> 'id' = $1))
        )
    )
order by o.id desc
limit 20
