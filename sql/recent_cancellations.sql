-- $1 how far back
-- A range with two ends is taken for a small one where there are no statistics: it is looked up in the index by time.
-- Orders that we canceled, and orders whose capture of ours has ended: Medusa may have canceled them meanwhile.
select order_id from grace.cancellations where canceled_at > now() - $1::interval and canceled_at < now() + interval '1 day'
union
select order_id
from grace.jobs
where kind = 'capture' and state in ('done', 'dead') and updated_at > now() - $1::interval
    and updated_at < now() + interval '1 day'
