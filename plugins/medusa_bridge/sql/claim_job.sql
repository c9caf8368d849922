-- $1 installation, $2 id, $3 kind, $4 order_id, $5 generation, $6 lease
-- By the job's own order id, so that the order is read after the job was claimed, and not at all for a stale message.
select j.*, o.*
from grace.claim_job_v1($1, $2, $3, $4, $5, $6, true) as j
left join lateral grace.lock_order_v1(j.job_order_id) as o on true
