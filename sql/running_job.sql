-- $1 installation, $2 id, $3 kind, $4 order_id, $5 generation
-- Is the job still this worker's? Locked until the end of the transaction. By the key first, as in take_job.
with found as (
    select ulid, kind, order_id, subject, state, generation, attempts, failures, failing_since, in_doubt, key_number
    from grace.jobs
    where ulid = $2
    for update
)
select $1::text as installation, ulid as id, kind, order_id, subject, state, generation, attempts, failures,
    failing_since, in_doubt, key_number
from found
where kind = $3 and order_id = $4 and generation = $5 and state = 'running'
    and exists (select from grace.installation as i where i.id = $1)
