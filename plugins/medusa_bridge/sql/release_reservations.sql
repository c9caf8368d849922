-- $1 reservation_ids
-- Run after lock_levels, in a statement of its own. Only rows that still live count, so nothing is released twice.
with released as (
    update reservation_item
    set deleted_at = date_trunc('milliseconds', now()), updated_at = date_trunc('milliseconds', now())
    where id = any($1::text[]) and (deleted_at is null) is true
    returning inventory_item_id, location_id, quantity
),
sums as (
    select inventory_item_id, location_id, sum(quantity) as quantity
    from released
    group by inventory_item_id, location_id
)
update inventory_level as l
set reserved_quantity = l.reserved_quantity - s.quantity,
    raw_reserved_quantity = jsonb_build_object(
        'value', trim_scale(l.reserved_quantity - s.quantity)::text, 'precision', 20
    ),
    updated_at = date_trunc('milliseconds', now())
from (
    select v.id, s.quantity
    from sums as s
    cross join lateral (
        select v.id
        from inventory_level as v
        where v.inventory_item_id = s.inventory_item_id and v.location_id = s.location_id and v.deleted_at is null
        offset 0
    ) as v
) as s
where l.id = s.id
