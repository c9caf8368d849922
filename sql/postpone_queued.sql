-- $1 id, $2 generation, $3 delay
-- A message that could not be worked on, because another worker holds the order's lock. Told once for each wait.
with postponed as (
    update grace.jobs
    set state = 'scheduled', run_at = now() + $3::interval, updated_at = now()
    where id = $1 and generation = $2 and state = 'queued'
    returning id, order_id, kind, subject
)
insert into grace.events (order_id, kind, job_id, detail)
select p.order_id, 'job_postponed', p.id, jsonb_build_object('job', p.kind, 'subject', p.subject)
from postponed as p
where not exists (
    select
    from grace.events as e
    where e.order_id = p.order_id and e.job_id = p.id and e.kind = 'job_postponed'
        and e.at > now() - interval '10 seconds'
)
