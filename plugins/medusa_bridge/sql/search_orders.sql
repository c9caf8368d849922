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
            where p.deleted_at is null and p.id = any(
                array[$1]
                || case when $1 like 'pi\_%' then array(select i.payment_id from grace.payments_of_intents_v1(array[$1]) as i) end
            )
        )
        || case when $1 like '%_@_%' then array(select e.order_id from grace.orders_of_email_v1($1, $3) as e) end
    )
order by o.id desc
limit 20
