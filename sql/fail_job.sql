-- $1 installation, $2 id, $3 kind, $4 order_id, $5 generation, $6 delay, $7 last_error, $8 in_doubt, $9 new_key
with failed as (
    update grace.jobs
    set state = 'scheduled', lease_until = null, run_at = now() + $6::interval,
        failures = failures + 1, failing_since = coalesce(failing_since, now()),
        last_error = $7, in_doubt = $8, key_number = key_number + $9::boolean::int, updated_at = now()
    where ulid = $2 and kind = $3 and order_id = $4 and generation = $5 and state = 'running'
        and exists (select from grace.installation as i where i.id = $1)
    returning id, order_id, kind, subject, failures, run_at, in_doubt
)
insert into grace.events (order_id, kind, job_id, detail)
select order_id, 'job_failed', id, jsonb_build_object(
    'job', kind, 'subject', subject, 'error', $7::text, 'failures', failures, 'in_doubt', in_doubt, 'next_at', run_at
)
from failed
