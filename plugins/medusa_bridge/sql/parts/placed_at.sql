-- When "order" o was placed. At a checkout that is created_at; then it has a cart. A draft is older than the order that
-- it becomes, and Medusa writes down nowhere when that is. It is recorded when it is first seen, in grace.conversions.
-- Until then counted is what the conversion makes of the lines of the current version, in the same moment: reservations,
-- or where there are none, tax lines, which stay as old as the draft in a region without automatic taxes. An order
-- without either shows the conversion in updated_at alone. The cart's index by deleted_at would be read whole where there
-- are no statistics.
case
    when (
        select made.order_id from order_cart as made where made.order_id = o.id and (made.deleted_at is null) is true limit 1
    ) is not null then o.created_at
    else coalesce(
        (select v.converted_at from grace.conversions as v where v.order_id = o.id),
        greatest(
            o.created_at,
            coalesce(
                (
                    select min(made.created_at)
                    from order_item as i
                    cross join lateral (
                        select r.created_at
                        from reservation_item as r
                        where r.line_item_id = i.item_id and r.deleted_at is null
                        offset 0
                    ) as made
                    where i.order_id = o.id and i.deleted_at is null and (i.version = o.version) is true
                ),
                (
                    select min(made.created_at)
                    from order_item as i
                    cross join lateral (
                        select t.created_at
                        from order_line_item_tax_line as t
                        where t.item_id = i.item_id and t.deleted_at is null
                        offset 0
                    ) as made
                    where i.order_id = o.id and i.deleted_at is null and (i.version = o.version) is true
                ),
                o.updated_at
            )
        )
    )
end
