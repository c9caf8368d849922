-- $1 whether everything should be at rest
-- Captures are booked one by one. Refunds are compared by number and sum, since Medusa's own cancel books them under
-- the payment's id and not the refund's. A capture in flight need not be booked yet.
with moved as (
    select l.order_id, 'capture' as reference, c.id, c.amount, c.updated_at as touched_at, p.captured_at is null
        and sum(c.amount) over (partition by p.id) >= round(p.amount, 3) as in_flight
    from capture as c
    join payment as p on p.id = c.payment_id and p.deleted_at is null
    join order_payment_collection as l
        on l.payment_collection_id = p.payment_collection_id and l.deleted_at is null
    where c.deleted_at is null
    union all
    select l.order_id, 'refund', r.id, r.amount, r.updated_at, false
    from refund as r
    join payment as p on p.id = r.payment_id and p.deleted_at is null
    join order_payment_collection as l
        on l.payment_collection_id = p.payment_collection_id and l.deleted_at is null
    where r.deleted_at is null
),
rows as (
    select order_id, reference, case when reference = 'capture' then id end as id, sum(amount) as amount,
        count(*) as number, max(touched_at) as touched_at, bool_or(in_flight) as in_flight
    from moved
    group by 1, 2, 3
),
booked as (
    select order_id, reference, case when reference = 'capture' then reference_id end as id,
        sum(case when reference = 'capture' then amount else -amount end) as amount, count(*) as number,
        max(updated_at) as touched_at
    from order_transaction
    where deleted_at is null and reference in ('capture', 'refund')
    group by 1, 2, 3
)
select order_id,
    format(
        '%s: %s in %s row(s), %s in %s order transaction(s)', coalesce(r.id, b.id, reference || 's'),
        trim_scale(coalesce(r.amount, 0)), coalesce(r.number, 0), trim_scale(coalesce(b.amount, 0)),
        coalesce(b.number, 0)
    ) as detail
from (select *, coalesce(id, '') as key from rows) as r
full join (select *, coalesce(id, '') as key from booked) as b using (order_id, reference, key)
join "order" as o on o.id = order_id and o.deleted_at is null
where (coalesce(r.number, 0) <> coalesce(b.number, 0) or abs(coalesce(r.amount, 0) - coalesce(b.amount, 0)) > 0.0001)
    and (b.number is not null or not r.in_flight)
    and ($1::boolean or greatest(r.touched_at, b.touched_at) < now() - interval '1 minute')
order by order_id, reference, key
