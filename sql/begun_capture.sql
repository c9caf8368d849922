-- $1 order_id
-- Has a capture of the order begun, or ended? Stricter than the rule of the domain: whatever is unusual is decided there.
select 1
from grace.jobs
where order_id = $1 and (kind = 'capture') is true and (in_doubt or state not in ('scheduled', 'queued'))
