-- $1 how far back orders count whatever became of them
-- Intents of canceled orders and of recent ones.
select a.order_id, a.intent ->> 'id' as intent_id, a.provider_id
from (
    select l.order_id, grace.payment_intent_v1(p.id) as intent, p.provider_id
    from payment as p
    join order_payment_collection as l on l.payment_collection_id = p.payment_collection_id and l.deleted_at is null
    join "order" as o on o.id = l.order_id and o.deleted_at is null and not o.is_draft_order and o.status <> 'draft'
    where p.deleted_at is null and p.amount > 0
        and (o.status = 'canceled' or o.canceled_at is not null or o.created_at > now() - $1::interval)
    union all
    select l.order_id, grace.session_intent_v1(s.id), s.provider_id
    from payment_session as s
    join order_payment_collection as l on l.payment_collection_id = s.payment_collection_id and l.deleted_at is null
    join "order" as o on o.id = l.order_id and o.deleted_at is null and not o.is_draft_order and o.status <> 'draft'
    where s.deleted_at is null and s.amount > 0
        and (o.status = 'canceled' or o.canceled_at is not null or o.created_at > now() - $1::interval)
        and not exists (select from payment as q where q.payment_session_id = s.id and q.deleted_at is null)
    offset 0
) as a
where a.intent ->> 'id' is not null
