-- $1 order_id, or null for those of every order
select id, order_id, kind, detail
from grace.incidents
where announced_at is null and ($1::text is null or order_id = $1)
order by id
limit 100
for update skip locked
