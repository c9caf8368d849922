-- Payment sessions at Stripe that no payment was made of, of canceled orders: their sums are judged where currencies are
-- known. Begins with what waits and what is open, as money_at_risk. Each session once, also where orders share it, and none
-- that a live order shares.
with troubled as materialized (
    select order_id from grace.jobs where state = 'scheduled' and kind in ('void', 'refund')
    union
    select order_id from grace.jobs where state = 'queued' and kind in ('void', 'refund')
    union
    select order_id from grace.jobs where state = 'running' and kind in ('void', 'refund')
    union
    select order_id from grace.incidents
    where closed_at is null and kind in ('void_failed', 'late_money', 'refund_failed', 'unsupported_provider')
)
select distinct on (s.id) s.id, s.payment_collection_id, s.provider_id, s.currency_code, s.amount::text as amount,
    s.intent ->> 'id' as intent_id, s.intent ->> 'status' as intent_status, s.intent ->> 'currency' as intent_currency,
    s.intent ->> 'amount_received' as received, s.intent ->> 'refunded' as refunded
from (
    select s.id, s.payment_collection_id, s.provider_id, s.currency_code, s.amount, grace.session_intent_v1(s.id) as intent
    from troubled as t
    join "order" as o on o.id = t.order_id and o.deleted_at is null and not o.is_draft_order and o.status <> 'draft'
    join order_payment_collection as l on l.order_id = t.order_id and l.deleted_at is null
    join payment_session as s on s.payment_collection_id = l.payment_collection_id and s.deleted_at is null
    where (o.status = 'canceled' or o.canceled_at is not null) and s.provider_id ~ '^pp_stripe(-[a-z0-9-]+)?_'
        and not exists (select from payment as q where q.payment_session_id = s.id and q.deleted_at is null)
        and (
            select x.id
            from order_payment_collection as b
            join "order" as x
                on x.id = b.order_id and x.deleted_at is null and not x.is_draft_order
                    and x.status not in ('draft', 'canceled') and x.canceled_at is null
            where b.payment_collection_id = l.payment_collection_id and b.deleted_at is null
            limit 1
        ) is null
    offset 0
) as s
where s.intent ->> 'id' is not null
    and not exists (
        select
        from payment as q
        where q.payment_collection_id = s.payment_collection_id and q.deleted_at is null
            and grace.payment_intent_id_v1(q.id) = s.intent ->> 'id'
    )
order by s.id
