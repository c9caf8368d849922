-- $1 an id of an order, payment or PaymentIntent, $2 the same as a display number, or null, $3 window of the newest
-- orders that are looked through for an e-mail address, which no index of Medusa's leads to
select o.id
from "order" as o
where o.deleted_at is null and not o.is_draft_order and o.status <> 'draft'
    and o.id = any(
        array(select n.id from "order" as n where n.id = $1 or n.display_id = $2)
        || array(
            select l.order_id
            from payment as p
            join order_payment_collection as l
                on l.payment_collection_id = p.payment_collection_id and l.deleted_at is null
            where p.deleted_at is null and (p.id = $1 or ($1 like 'pi\_%' and p.data ->> 'id' = $1))
        )
        || case when $1 like '%_@_%' then array(
            select e.id
            from (select n.id, n.email from "order" as n order by n.id desc limit $3) as e
            where lower(e.email) = lower($1)
            order by e.id desc
            limit 20
        ) end
    )
order by o.id desc
limit 20
