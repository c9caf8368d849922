-- $1 id, $2 generation, $3 state, $4 last_error
with ended as (
    update grace.jobs
    set state = $3, lease_until = null, in_doubt = false, failures = 0, failing_since = null,
        last_error = coalesce($4, last_error), updated_at = now()
    where id = $1 and generation = $2 and state = 'running'
    returning id, order_id, kind, subject, state
)
insert into grace.events (order_id, kind, job_id, detail)
select order_id, 'job_' || state, id, jsonb_build_object('job', kind, 'subject', subject, 'note', $4::text)
from ended
