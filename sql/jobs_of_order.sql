-- $1 order_id
select id, kind, subject, state, run_at, attempts, failures, in_doubt, last_error, created_at, updated_at
from grace.jobs
where order_id = $1
order by id
