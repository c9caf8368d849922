-- Overdue although somebody should have queued it, queued but never taken, taken by a worker that is gone, or failing
-- for an hour with nobody told.
select j.order_id, format('%s of %s %s', j.kind, j.subject, s.since) as detail
from grace.jobs as j
cross join lateral (
    select case
        when j.state = 'queued' and j.updated_at < now() - interval '5 minutes'
            then format('is queued for %s min', floor(extract(epoch from now() - j.updated_at) / 60))
        when j.state = 'running' and j.lease_until < now() - interval '5 minutes'
            then format('lost its worker %s min ago', floor(extract(epoch from now() - j.lease_until) / 60))
        when j.state = 'scheduled' and j.run_at < now() - interval '5 minutes'
            then format('is overdue for %s min', floor(extract(epoch from now() - j.run_at) / 60))
        when j.failing_since < now() - interval '1 hour'
            and not exists (
                select
                from grace.incidents as i
                where i.order_id = j.order_id and i.kind = j.kind || '_failed' and i.closed_at is null
            )
            then format('fails for %s min', floor(extract(epoch from now() - j.failing_since) / 60))
    end as since
) as s
where j.state in ('scheduled', 'queued', 'running') and s.since is not null
order by j.id
