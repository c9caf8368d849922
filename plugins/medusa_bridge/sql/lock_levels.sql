-- $1 reservation_ids
-- Each level by its reservation's keys, whatever statistics there are.
select l.id
from inventory_level as l
where l.id = any(
        array(
            select v.id
            from reservation_item as r
            cross join lateral (
                select v.id
                from inventory_level as v
                where v.inventory_item_id = r.inventory_item_id and v.location_id = r.location_id
                    and v.deleted_at is null
                offset 0
            ) as v
            where r.id = any($1::text[])
        )
    )
order by l.id
for update
