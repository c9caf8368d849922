-- $1 order_id, $2 kind, $3 id of the job that succeeded
-- Does another job of the kind still fail for this order?
select exists (
    select from grace.jobs
    where order_id = $1 and (kind = $2) is true and ulid is distinct from $3 and failures > 0
)
