-- $1 how long after its time a capture is overdue
-- Begins with what waits and what is open (partial indexes), never with all orders, so that the cost is that of the
-- trouble and not of the shop's age. A hold counts until its void is done; late money until it is given back.
with troubled as materialized (
    select order_id from grace.jobs where state = 'scheduled' and kind in ('void', 'refund')
    union
    select order_id from grace.jobs where state = 'queued' and kind in ('void', 'refund')
    union
    select order_id from grace.jobs where state = 'running' and kind in ('void', 'refund')
    union
    select order_id from grace.jobs where state = 'scheduled' and kind = 'capture' and run_at < now() - $1::interval
    union
    select order_id from grace.jobs where state = 'queued' and kind = 'capture' and run_at < now() - $1::interval
    union
    select order_id from grace.jobs where state = 'running' and kind = 'capture' and run_at < now() - $1::interval
    union
    select order_id from grace.incidents
    where closed_at is null
        and kind in ('void_failed', 'late_money', 'refund_failed', 'capture_failed', 'unsupported_provider')
),
holds as (
    -- Each payment once, also where orders share it; of a canceled order only if they all are canceled.
    select p.id, bool_and(o.status = 'canceled' or o.canceled_at is not null) and (
            select x.id
            from order_payment_collection as b
            join "order" as x
                on x.id = b.order_id and x.deleted_at is null and not x.is_draft_order
                    and x.status not in ('draft', 'canceled') and x.canceled_at is null
            where b.payment_collection_id = p.payment_collection_id and b.deleted_at is null
            limit 1
        ) is null as is_canceled,
        bool_or(exists (
            select
            from grace.incidents as i
            where i.order_id = t.order_id and i.kind = 'capture_failed' and i.closed_at is null
        )) as is_failing
    from troubled as t
    join "order" as o
        on o.id = t.order_id and o.deleted_at is null and not o.is_draft_order and o.status <> 'draft'
    join order_payment_collection as l on l.order_id = t.order_id and l.deleted_at is null
    join payment as p on p.payment_collection_id = l.payment_collection_id and p.deleted_at is null
    group by p.id
),
money as (
    select p.currency_code, p.amount, c.captured, r.refunded, p.captured_at, p.canceled_at, h.is_canceled,
        exists (
            select
            from grace.jobs as j
            where j.kind = 'void' and j.subject in (p.id, p.payment_session_id) and j.state not in ('done', 'removed')
        ) as is_void_open,
        h.is_failing or exists (
            select
            from grace.jobs as j
            where j.kind = 'capture' and j.subject = p.id and j.state <> 'removed' and j.run_at < now() - $1::interval
        ) as is_overdue
    from holds as h
    join payment as p on p.id = h.id
    cross join lateral (
        select coalesce(sum(c.amount), 0) as captured
        from capture as c
        where c.payment_id = p.id and c.deleted_at is null
    ) as c
    cross join lateral (
        select coalesce(sum(r.amount), 0) as refunded
        from refund as r
        where r.payment_id = p.id and r.deleted_at is null
    ) as r
),
judged as (
    -- captured_at without any row says that all of it was captured; else the rows say how much.
    select currency_code, 'kept_on_canceled' as reason, coalesce(nullif(captured, 0), amount) - refunded as amount
    from money
    where is_canceled and captured_at is not null and refunded < coalesce(nullif(captured, 0), amount)
    union all
    select currency_code, 'kept_on_canceled', captured - refunded
    from money
    where is_canceled and captured_at is null and captured > refunded
    union all
    select currency_code, 'held_on_canceled', amount - captured
    from money
    where is_canceled and captured_at is null and captured < amount and (is_void_open or canceled_at is null)
    union all
    select currency_code, 'capture_overdue', amount - captured
    from money
    where not is_canceled and captured_at is null and canceled_at is null and captured < amount and is_overdue
)
select currency_code as currency, reason, sum(amount) as amount
from judged
group by 1, 2
