-- $1 whether everything should be at rest
-- Live holds at Stripe that no order reaches by its link: of a cart that was split into several orders, or of a checkout
-- that failed. A checkout in progress has a few minutes; a hold that an incident tells of is not named once more.
select null as order_id, p.amount, p.currency_code,
    format(
        '%s holds %s %s for %s, and no order is linked to it', p.id, trim_scale(p.amount), upper(p.currency_code),
        case
            when now() - p.created_at < interval '2 hours'
                then format('%s min', floor(extract(epoch from now() - p.created_at) / 60))
            when now() - p.created_at < interval '2 days'
                then format('%s h', floor(extract(epoch from now() - p.created_at) / 3600))
            else format('%s days', floor(extract(epoch from now() - p.created_at) / 86400))
        end
    ) as detail
from payment as p
where p.deleted_at is null and p.captured_at is null and p.canceled_at is null and p.amount > 0
    and p.provider_id ~ '^pp_stripe(-[a-z0-9-]+)?_' and grace.payment_intent_v1(p.id) ->> 'status' is distinct from 'canceled'
    and ($1::boolean or p.created_at < now() - interval '5 minutes')
    and not exists (
        select
        from order_payment_collection as l
        join "order" as o on o.id = l.order_id and o.deleted_at is null
        where l.payment_collection_id = p.payment_collection_id and l.deleted_at is null
    )
    and not exists (
        select
        from grace.jobs as j
        join grace.incidents as i on i.order_id = j.order_id and i.closed_at is null
        where j.subject = p.id and j.kind in ('capture', 'void')
    )
order by p.id
