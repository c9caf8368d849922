-- When "order" o was placed. At a checkout that is created_at; then it has a cart. A draft is older than the order that
-- it becomes, and Medusa writes down nowhere when that is: counted is what its conversion makes, in the same moment, the
-- reservations and the tax lines. An order without either shows the conversion in updated_at alone, until it is
-- touched. The cart's index by deleted_at would be read whole where there are no statistics.
case
    when (
        select made.order_id from order_cart as made where made.order_id = o.id and (made.deleted_at is null) is true limit 1
    ) is not null then o.created_at
    else greatest(
        o.created_at,
        coalesce(
            (
                select min(made.created_at)
                from order_item as i
                cross join lateral (
                    select r.created_at
                    from reservation_item as r
                    where r.line_item_id = i.item_id and r.deleted_at is null
                    union all
                    select t.created_at
                    from order_line_item_tax_line as t
                    where t.item_id = i.item_id and t.deleted_at is null
                    offset 0
                ) as made
                where i.order_id = o.id and i.deleted_at is null
            ),
            o.updated_at
        )
    )
end
