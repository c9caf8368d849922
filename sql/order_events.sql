-- $1 order_id, $2 how many
select id, at, kind, job_id, request_id, actor, detail
from grace.events
where order_id = $1
order by id desc
limit $2
