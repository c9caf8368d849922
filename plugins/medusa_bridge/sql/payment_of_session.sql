-- $1 payment_session_id, $2 intent_id
-- The payment, or the session while no payment was made of it. Medusa puts the session's id into the intent's metadata;
-- payment.data and payment_session.data have no index to find an intent by. Of orders
-- that share it, a canceled one: it is compared with Stripe in every state.
select f.subject, f.order_id
from (
    select p.id as subject, l.order_id
    from payment as p
    join order_payment_collection as l
        on l.payment_collection_id = p.payment_collection_id and l.deleted_at is null
    where p.payment_session_id = $1 and p.deleted_at is null and grace.payment_intent_id_v1(p.id) = $2
    union all
    select s.id, l.order_id
    from payment_session as s
    join order_payment_collection as l
        on l.payment_collection_id = s.payment_collection_id and l.deleted_at is null
    where s.id = $1 and (s.deleted_at is null) is true and grace.session_intent_v1(s.id) ->> 'id' = $2
        and not exists (
            select
            from payment as q
            where q.payment_session_id = s.id and (q.deleted_at is null) is true
        )
) as f
order by exists (
    select
    from "order" as o
    where o.id = f.order_id and o.deleted_at is null and (o.status = 'canceled' or o.canceled_at is not null)
) desc, f.order_id
limit 1
