-- Jobs that are not over, from the partial indexes on their states: what is done, removed or dead is never read.
select kind, 'scheduled' as state, count(*) as number,
    extract(epoch from clock_timestamp() - min(run_at) filter (where run_at <= now()))::float8 as oldest_due
from grace.jobs
where state = 'scheduled'
group by kind
union all
select kind, 'queued', count(*), extract(epoch from clock_timestamp() - min(updated_at))::float8
from grace.jobs
where state = 'queued'
group by kind
union all
select kind, 'running', count(*), null
from grace.jobs
where state = 'running'
group by kind
