-- $1 payment_session_id, $2 intent_id
-- Medusa puts the session's id into the intent's metadata; payment.data has no index to find an intent by.
select p.id as payment_id, l.order_id
from payment as p
join order_payment_collection as l
    on l.payment_collection_id = p.payment_collection_id and l.deleted_at is null
where p.payment_session_id = $1 and p.deleted_at is null and p.data ->> 'id' = $2
