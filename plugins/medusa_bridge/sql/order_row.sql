-- $1 order_id
-- Drafts and deleted orders are nobody's orders.
select o.id, o.status::text as status, o.canceled_at, o.version, o.created_at, o.customer_id, o.currency_code
from "order" as o
where o.id = $1 and o.deleted_at is null and not o.is_draft_order and o.status <> 'draft'
