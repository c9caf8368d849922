-- $1 installation, $2 id, $3 kind, $4 order_id, $5 generation, $6 state, $7 last_error
with ended as (
    update grace.jobs
    set state = $6, lease_until = null, in_doubt = false, failures = 0, failing_since = null,
        last_error = coalesce($7, last_error), updated_at = now()
    where ulid = $2 and kind = $3 and order_id = $4 and generation = $5 and state = 'running'
        and exists (select from grace.installation as i where i.id = $1)
    returning id, order_id, kind, subject, state
)
insert into grace.events (order_id, kind, job_id, detail)
select order_id, 'job_' || state, id, jsonb_build_object('job', kind, 'subject', subject, 'note', $7::text)
from ended
