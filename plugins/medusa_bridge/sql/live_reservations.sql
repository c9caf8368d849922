-- $1 order_id
-- By the line items of every version: an item that an edit took away has no reservation left, or one too many.
-- Medusa's index of order_item by order has the rows that are not deleted, and no other.
select r.id, r.inventory_item_id
from reservation_item as r
where r.deleted_at is null
    and r.line_item_id in (select i.item_id from order_item as i where i.order_id = $1 and i.deleted_at is null)
order by r.id
