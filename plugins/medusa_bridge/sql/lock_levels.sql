-- $1 reservation_ids
select l.id
from inventory_level as l
where l.deleted_at is null
    and (l.inventory_item_id, l.location_id) in (
        select r.inventory_item_id, r.location_id from reservation_item as r where r.id = any($1::text[])
    )
order by l.id
for update
