-- $1 whether everything should be at rest
-- By the line items of every version. Reservations made by hand have no line item, and are somebody's business.
select i.order_id,
    format('%s of %s keeps %s of %s', r.id, r.line_item_id, trim_scale(r.quantity), r.inventory_item_id) as detail
from reservation_item as r
-- All at once: looked up one by one, with a limit, they were searched for from the table's beginning each time.
left join (select item_id, min(order_id) as order_id from order_item group by item_id) as i on i.item_id = r.line_item_id
where r.deleted_at is null and r.line_item_id is not null
    and not exists (select from "order" as o where o.id = i.order_id and o.deleted_at is null)
    and ($1::boolean or r.created_at < now() - interval '1 minute')
order by r.id
