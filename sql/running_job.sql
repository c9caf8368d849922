-- $1 id, $2 generation
-- Is the job still this worker's? Locked until the end of the transaction.
select id, kind, order_id, subject, state, generation, attempts, failures, failing_since, in_doubt, key_number
from grace.jobs
where id = $1 and generation = $2 and state = 'running'
for update
