-- $1 id, $2 generation
-- Is the job still this worker's? Locked until the end of the transaction. By the key first, as in take_job.
with found as (
    select id, kind, order_id, subject, state, generation, attempts, failures, failing_since, in_doubt, key_number
    from grace.jobs
    where id = $1
    for update
)
select id, kind, order_id, subject, state, generation, attempts, failures, failing_since, in_doubt, key_number
from found
where generation = $2 and state = 'running'
