-- $1 payment_id
select p.id, p.payment_collection_id, p.provider_id, p.currency_code, p.amount, p.captured_at, p.canceled_at,
    p.data ->> 'id' as intent_id
from payment as p
where p.id = $1 and p.deleted_at is null
