-- $1 order_id
-- Every edit writes all lines again under a new version; two writers at once may both have written the newest.
select l.title, l.subtitle, i.quantity
from (
    select distinct on (n.item_id) n.item_id, n.quantity
    from order_item as n
    where n.order_id = $1 and n.deleted_at is null
        and n.version = (select max(v.version) from order_item as v where v.order_id = $1 and v.deleted_at is null)
    order by n.item_id, n.id desc
) as i
join order_line_item as l on l.id = i.item_id and l.deleted_at is null
where i.quantity > 0
order by l.id
