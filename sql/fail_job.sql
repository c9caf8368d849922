-- $1 id, $2 generation, $3 delay, $4 last_error, $5 in_doubt, $6 new_key
with failed as (
    update grace.jobs
    set state = 'scheduled', lease_until = null, run_at = now() + $3::interval,
        failures = failures + 1, failing_since = coalesce(failing_since, now()),
        last_error = $4, in_doubt = $5, key_number = key_number + $6::boolean::int, updated_at = now()
    where id = $1 and generation = $2 and state = 'running'
    returning id, order_id, kind, subject, failures, run_at, in_doubt
)
insert into grace.events (order_id, kind, job_id, detail)
select order_id, 'job_failed', id, jsonb_build_object(
    'job', kind, 'subject', subject, 'error', $4::text, 'failures', failures, 'in_doubt', in_doubt, 'next_at', run_at
)
from failed
