-- $1 order_id
-- By the line items of every version: an item that an edit took away has no reservation left, or one too many, and so
-- has one that an undone edit had added. Medusa's index of order_item by order has the rows that are not deleted, and
-- no other; its index of deleted ones is by time, and none was deleted before its order was made.
select distinct r.id, r.inventory_item_id
from (
    select i.item_id from order_item as i where i.order_id = $1 and i.deleted_at is null
    union all
    select u.item_id
    from order_item as u
    where (u.order_id = $1) is true and u.deleted_at < 'infinity'
        and u.deleted_at >= (select o.created_at - interval '1 hour' from "order" as o where o.id = $1)
) as i
cross join lateral (
    select r.id, r.inventory_item_id
    from reservation_item as r
    where r.line_item_id = i.item_id and r.deleted_at is null
    offset 0
) as r
order by r.id
