-- $1 whether everything should be at rest
-- A capture in flight may be in the sum or not: there is a capture row before Stripe was asked.
with sums as (
    select p.payment_collection_id, sum(c.captured) as captured, sum(r.refunded) as refunded,
        coalesce(
            sum(c.captured) filter (where p.captured_at is null and round(c.captured, 3) >= round(p.amount, 3)), 0
        ) as in_flight,
        max(greatest(p.updated_at, c.touched_at, r.touched_at)) as touched_at
    from payment as p
    left join (
        select payment_id, sum(amount) as captured, max(updated_at) as touched_at
        from capture
        where deleted_at is null
        group by payment_id
    ) as c on c.payment_id = p.id
    left join (
        select payment_id, sum(amount) as refunded, max(updated_at) as touched_at
        from refund
        where deleted_at is null
        group by payment_id
    ) as r on r.payment_id = p.id
    where p.deleted_at is null
    group by p.payment_collection_id
)
select l.order_id,
    format(
        '%s: %s captured and %s refunded, by the rows %s and %s', c.id,
        trim_scale(coalesce(c.captured_amount, 0)), trim_scale(coalesce(c.refunded_amount, 0)),
        trim_scale(coalesce(s.captured, 0)), trim_scale(coalesce(s.refunded, 0))
    ) as detail
from payment_collection as c
join order_payment_collection as l on l.payment_collection_id = c.id and l.deleted_at is null
join "order" as o on o.id = l.order_id and o.deleted_at is null
left join sums as s on s.payment_collection_id = c.id
where c.deleted_at is null
    and (
        (
            abs(coalesce(c.captured_amount, 0) - coalesce(s.captured, 0)) > 0.0001
            and abs(coalesce(c.captured_amount, 0) - coalesce(s.captured - s.in_flight, 0)) > 0.0001
        )
        or abs(coalesce(c.refunded_amount, 0) - coalesce(s.refunded, 0)) > 0.0001
    )
    and ($1::boolean or greatest(c.updated_at, s.touched_at) < now() - interval '1 minute')
order by c.id
