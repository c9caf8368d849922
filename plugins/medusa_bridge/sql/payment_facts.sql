-- $1 payment_id
select p.id, p.payment_collection_id, p.payment_session_id, p.provider_id, p.currency_code, p.amount, p.captured_at, p.canceled_at,
    grace.payment_intent_id_v1(p.id) as intent_id,
    (select coalesce(sum(c.amount), 0) from capture as c where c.payment_id = p.id and c.deleted_at is null) as captured,
    (select max(c.created_at) from capture as c where c.payment_id = p.id and c.deleted_at is null) as last_captured_at,
    (select coalesce(sum(r.amount), 0) from refund as r where r.payment_id = p.id and r.deleted_at is null) as refunded,
    (select max(r.created_at) from refund as r where r.payment_id = p.id and r.deleted_at is null) as last_refunded_at
from payment as p
where p.id = $1 and p.deleted_at is null
