-- $1 whether everything should be at rest
-- Only the summary of the order's present version counts.
with sums as (
    select order_id, coalesce(sum(amount) filter (where amount > 0), 0) as paid,
        coalesce(-sum(amount) filter (where amount < 0), 0) as refunded, max(updated_at) as touched_at
    from order_transaction
    where deleted_at is null
    group by order_id
),
summaries as (
    select o.id as order_id, s.id, greatest(s.updated_at, t.touched_at) as touched_at,
        coalesce((s.totals -> 'raw_paid_total' ->> 'value')::numeric, (s.totals ->> 'paid_total')::numeric, 0) as paid,
        coalesce(
            (s.totals -> 'raw_refunded_total' ->> 'value')::numeric, (s.totals ->> 'refunded_total')::numeric, 0
        ) as refunded,
        coalesce(
            (s.totals -> 'raw_transaction_total' ->> 'value')::numeric, (s.totals ->> 'transaction_total')::numeric, 0
        ) as net,
        coalesce(t.paid, 0) as booked_paid, coalesce(t.refunded, 0) as booked_refunded
    from "order" as o
    join order_summary as s on s.order_id = o.id and s.version = o.version and s.deleted_at is null
    left join sums as t on t.order_id = o.id
    where o.deleted_at is null
)
select order_id,
    format(
        '%s: paid %s, refunded %s, net %s; the transactions make %s, %s and %s', id, trim_scale(paid),
        trim_scale(refunded), trim_scale(net), trim_scale(booked_paid), trim_scale(booked_refunded),
        trim_scale(booked_paid - booked_refunded)
    ) as detail
from summaries
where (
        abs(paid - booked_paid) > 0.0001 or abs(refunded - booked_refunded) > 0.0001
        or abs(net - (booked_paid - booked_refunded)) > 0.0001
    )
    and ($1::boolean or touched_at < now() - interval '1 minute')
order by order_id, id
