-- $1 installation, $2 id, $3 kind, $4 order_id, $5 generation, $6 lease
select j.installation, j.job_id as id, j.kind, j.job_order_id as order_id, j.subject, j.state, j.generation, j.attempts,
    j.failures, j.failing_since, j.key_number, j.in_doubt, j.request_id, j.traceparent, j.late
from grace.claim_job_v1($1, $2, $3, $4, $5, $6, false) as j
