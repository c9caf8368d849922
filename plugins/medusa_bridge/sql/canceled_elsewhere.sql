-- $1 last job looked at, $2 window
-- Captures that still wait, and those that were made and not given back: Medusa's own cancel only logs a refund
-- that failed. And captures that were taken out, of an order that was opened again: its hold would never be captured.
-- One order at a time ("limit 1"): as a join it would be planned for a tenth of all jobs, which is what Postgres takes
-- an unknown limit for, and in an old shop read every order for each window.
with looked_at as (
    select j.id, j.order_id, j.subject, j.state
    from grace.jobs as j
    where (j.kind = 'capture') is true and j.id > $1
    order by j.id
    limit $2
)
select max(w.id) as reached, count(*) as looked_at,
    coalesce(array_agg(distinct o.id) filter (where o.id is not null), '{}') as order_ids
from looked_at as w
left join lateral (
    select o.id
    from "order" as o
    where o.id = w.order_id and (o.status = 'canceled' or o.canceled_at is not null) is true
        and (
            w.state = 'scheduled'
            or (
                w.state = 'done'
                and exists (
                    select
                    from order_payment_collection as l
                    cross join lateral (
                        select c.id
                        from payment_collection as c
                        where c.id = l.payment_collection_id and (c.deleted_at is null) is true
                            and coalesce(c.captured_amount, 0) > coalesce(c.refunded_amount, 0)
                        offset 0
                    ) as c
                    where l.order_id = o.id and (l.deleted_at is null) is true
                )
            )
        )
    union all
    select o.id
    from "order" as o
    cross join lateral (
        select p.id
        from payment as p
        where p.id = w.subject and (p.captured_at is null and p.canceled_at is null) is true
        offset 0
    ) as p
    where o.id = w.order_id and w.state = 'removed'
        and (o.status not in ('canceled', 'draft') and o.canceled_at is null) is true
        and (
            select v.id
            from grace.jobs as v
            where v.kind = 'void' and v.subject = p.id and (v.state in ('scheduled', 'queued', 'running')) is true
            limit 1
        ) is null
    limit 1
) as o on true
