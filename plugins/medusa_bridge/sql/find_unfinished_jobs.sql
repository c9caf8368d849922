-- Jobs that wait although everything should be at rest. A capture that waits for the end of a grace period is at rest,
-- and so is a failing job whose incident is open.
select j.order_id, format('%s of %s is %s, attempts %s', j.kind, j.subject, j.state, j.attempts) as detail
from grace.jobs as j
left join "order" as o on o.id = j.order_id
where j.state in ('scheduled', 'queued', 'running')
    and not (
        j.kind = 'capture' and j.state = 'scheduled' and j.attempts = 0 and j.run_at > now()
        and o.status <> 'canceled' and o.canceled_at is null
    )
    and not (
        j.failures > 0
        and exists (
            select
            from grace.incidents as i
            where i.order_id = j.order_id and i.kind = j.kind || '_failed' and i.closed_at is null
        )
    )
order by j.id
