-- $1 intent ids that Stripe was asked about
-- Payment sessions at Stripe that no payment was made of: of canceled orders where the shop's last word does not say that
-- they are canceled and that nothing was received, and those that Stripe was asked about, with what watches over each.
select s.order_id, s.order_canceled, s.id, s.payment_collection_id, s.provider_id, s.currency_code, s.amount::text as amount,
    s.intent ->> 'id' as intent_id, s.intent ->> 'status' as intent_status, s.intent ->> 'currency' as intent_currency,
    s.intent ->> 'amount_received' as received, s.intent ->> 'refunded' as refunded,
    s.touched_at, j.at_work, now() as read_at,
    exists (
        select
        from order_payment_collection as b
        where b.payment_collection_id = s.payment_collection_id and b.deleted_at is null and b.order_id <> s.order_id
    ) as is_shared,
    coalesce((select array_agg(i.kind) from grace.incidents as i
        where i.order_id = s.order_id and i.closed_at is null), '{}') as incidents
from (
    select l.order_id, o.status = 'canceled' or o.canceled_at is not null as order_canceled, s.id, s.payment_collection_id,
        s.provider_id, s.currency_code, s.amount, grace.session_intent_v1(s.id) as intent,
        greatest(s.updated_at, o.updated_at) as touched_at
    from payment_session as s
    join order_payment_collection as l on l.payment_collection_id = s.payment_collection_id and l.deleted_at is null
    join "order" as o on o.id = l.order_id and o.deleted_at is null and not o.is_draft_order and o.status <> 'draft'
    where s.deleted_at is null and s.amount > 0 and s.provider_id ~ '^pp_stripe(-[a-z0-9-]+)?_'
        and not exists (select from payment as q where q.payment_session_id = s.id and q.deleted_at is null)
    offset 0
) as s
cross join lateral (
    select coalesce(array_agg(j.kind) filter (where j.state in ('scheduled', 'queued', 'running')), '{}') as at_work
    from grace.jobs as j
    where j.order_id = s.order_id and j.kind in ('void', 'refund', 'look') and split_part(j.subject, ':', 1) = s.id
) as j
where s.intent ->> 'id' is not null
    and (
        s.intent ->> 'id' = any($1::text[])
        or (
            s.order_canceled
            and (s.intent ->> 'status' is distinct from 'canceled' or s.intent ->> 'amount_received' <> '0')
        )
    )
    and not exists (
        select
        from payment as q
        where q.payment_collection_id = s.payment_collection_id and q.deleted_at is null
            and grace.payment_intent_id_v1(q.id) = s.intent ->> 'id'
    )
order by s.id
