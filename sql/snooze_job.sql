-- $1 installation, $2 id, $3 kind, $4 order_id, $5 generation, $6 delay, $7 in_doubt, $8 new_key
-- Later, and not a failure.
with put_off as (
    update grace.jobs
    set state = 'scheduled', lease_until = null, run_at = now() + $6::interval, in_doubt = $7,
        key_number = key_number + $8::boolean::int, updated_at = now()
    where ulid = $2 and kind = $3 and order_id = $4 and generation = $5 and state = 'running'
        and exists (select from grace.installation as i where i.id = $1)
    returning id, order_id, kind, subject, run_at
)
insert into grace.events (order_id, kind, job_id, detail)
select order_id, 'job_snoozed', id, jsonb_build_object('job', kind, 'subject', subject, 'next_at', run_at)
from put_off
