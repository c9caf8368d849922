-- Named with the order when one alone ever reserved of the level.
with live as (
    select inventory_item_id, location_id, sum(quantity) as quantity
    from reservation_item
    where deleted_at is null
    group by inventory_item_id, location_id
),
levels as (
    select inventory_item_id, location_id, reserved_quantity from inventory_level where deleted_at is null
),
drifted as (
    select inventory_item_id, location_id, coalesce(v.reserved_quantity, 0) as reserved,
        coalesce(r.quantity, 0) as reservations
    from levels as v
    full join live as r using (inventory_item_id, location_id)
    where abs(coalesce(v.reserved_quantity, 0) - coalesce(r.quantity, 0)) > 0.0001 or v.reserved_quantity < 0
)
select (
        select case when count(distinct i.order_id) = 1 then min(i.order_id) end
        from reservation_item as r
        join order_item as i on i.item_id = r.line_item_id
        where r.inventory_item_id = d.inventory_item_id and r.location_id = d.location_id
    ) as order_id,
    format(
        '%s at %s: reserved_quantity %s, live reservations %s', d.inventory_item_id, d.location_id,
        trim_scale(d.reserved), trim_scale(d.reservations)
    ) as detail
from drifted as d
order by d.inventory_item_id, d.location_id
