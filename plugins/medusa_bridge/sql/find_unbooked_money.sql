-- $1 whether everything should be at rest
-- Captures are booked one by one. Refunds are compared by number and sum, since Medusa's own cancel books them under
-- the payment's id and not the refund's. A capture in flight need not be booked yet. What orders share may be booked on
-- any of them: they are compared together, as the first of them.
with collections as (
    select l.payment_collection_id, min(l.order_id) as order_id
    from order_payment_collection as l
    join "order" as o on o.id = l.order_id and o.deleted_at is null
    where l.deleted_at is null
    group by l.payment_collection_id
),
owners as (
    select l.order_id, min(c.order_id) as owner_id
    from collections as c
    join order_payment_collection as l
        on l.payment_collection_id = c.payment_collection_id and l.deleted_at is null
    group by l.order_id
),
moved as (
    select n.owner_id as order_id, 'capture' as reference, c.id, c.amount, c.updated_at as touched_at,
        p.captured_at is null and sum(c.amount) over (partition by p.id) >= round(p.amount, 3) as in_flight
    from capture as c
    join payment as p on p.id = c.payment_id and p.deleted_at is null
    join collections as l on l.payment_collection_id = p.payment_collection_id
    join owners as n on n.order_id = l.order_id
    where c.deleted_at is null
    union all
    select n.owner_id, 'refund', r.id, r.amount, r.updated_at, false
    from refund as r
    join payment as p on p.id = r.payment_id and p.deleted_at is null
    join collections as l on l.payment_collection_id = p.payment_collection_id
    join owners as n on n.order_id = l.order_id
    where r.deleted_at is null
),
rows as (
    select order_id, reference, case when reference = 'capture' then id end as id, sum(amount) as amount,
        count(*) as number, max(touched_at) as touched_at, bool_or(in_flight) as in_flight
    from moved
    group by 1, 2, 3
),
booked as (
    select coalesce(n.owner_id, t.order_id) as order_id, t.reference,
        case when t.reference = 'capture' then t.reference_id end as id,
        sum(case when t.reference = 'capture' then t.amount else -t.amount end) as amount, count(*) as number,
        max(t.updated_at) as touched_at
    from order_transaction as t
    left join owners as n on n.order_id = t.order_id
    where t.deleted_at is null and t.reference in ('capture', 'refund')
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
