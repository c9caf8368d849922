-- $1 id
select i.id, i.order_id, i.kind, i.detail, i.opened_at, i.closed_at, i.closed_by, i.note
from grace.incidents as i
where i.id = $1
