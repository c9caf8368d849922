-- $1 how far back
-- Orders that we canceled, and orders whose capture of ours has ended: Medusa may have canceled them meanwhile.
select order_id from grace.cancellations where canceled_at > now() - $1::interval
union
select order_id
from grace.jobs
where kind = 'capture' and state in ('done', 'dead') and updated_at > now() - $1::interval
