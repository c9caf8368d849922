-- Captures that a worker would still make.
select order_id, subject as payment_id, run_at, last_error
from grace.jobs
where kind = 'capture' and state in ('scheduled', 'queued', 'running')
order by run_at, id
