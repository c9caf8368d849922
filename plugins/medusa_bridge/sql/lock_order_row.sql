-- $1 order_id
-- Always the first lock. Drafts and deleted orders are nobody's orders.
select 1
from "order" as o
where o.id = $1 and (o.deleted_at is null and not o.is_draft_order and o.status <> 'draft') is true
for update of o
