-- $1 intent ids that Stripe was asked about
-- Payment sessions at Stripe that no payment was made of: of canceled orders where the shop's last word does not say that
-- they are canceled, and those that Stripe was asked about, with what watches over each.
select l.order_id, o.status = 'canceled' or o.canceled_at is not null as order_canceled,
    s.id, s.payment_collection_id, s.provider_id, s.currency_code, s.amount::text as amount, s.data ->> 'id' as intent_id,
    s.data ->> 'status' as intent_status, s.metadata ->> 'grace_refunded' as refunded,
    greatest(s.updated_at, o.updated_at) as touched_at, j.at_work, now() as read_at,
    coalesce((select array_agg(i.kind) from grace.incidents as i
        where i.order_id = l.order_id and i.closed_at is null), '{}') as incidents
from payment_session as s
join order_payment_collection as l on l.payment_collection_id = s.payment_collection_id and l.deleted_at is null
join "order" as o on o.id = l.order_id and o.deleted_at is null and not o.is_draft_order and o.status <> 'draft'
cross join lateral (
    select coalesce(array_agg(j.kind) filter (where j.state in ('scheduled', 'queued', 'running')), '{}') as at_work
    from grace.jobs as j
    where j.order_id = l.order_id and j.kind in ('void', 'refund', 'look') and split_part(j.subject, ':', 1) = s.id
) as j
where s.deleted_at is null and s.amount > 0 and s.provider_id ~ '^pp_stripe(-[a-z0-9-]+)?_' and s.data ->> 'id' is not null
    and (
        s.data ->> 'id' = any($1::text[])
        or ((o.status = 'canceled' or o.canceled_at is not null) and s.data ->> 'status' is distinct from 'canceled')
    )
    and not exists (
        select
        from payment as q
        where (q.payment_session_id = s.id or (q.payment_collection_id = s.payment_collection_id and q.data ->> 'id' = s.data ->> 'id'))
            and q.deleted_at is null
    )
order by s.id
