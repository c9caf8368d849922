-- $1 id, $2 generation, $3 delay, $4 in_doubt
-- Later, and not a failure.
with put_off as (
    update grace.jobs
    set state = 'scheduled', lease_until = null, run_at = now() + $3::interval, in_doubt = $4, updated_at = now()
    where id = $1 and generation = $2 and state = 'running'
    returning id, order_id, kind, subject, run_at
)
insert into grace.events (order_id, kind, job_id, detail)
select order_id, 'job_snoozed', id, jsonb_build_object('job', kind, 'subject', subject, 'next_at', run_at)
from put_off
