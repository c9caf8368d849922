-- $1 order_id
-- Credit lines lower current_order_total: after a refunded cancel of Medusa's it is 0, so they are added again.
-- custom_display_id came with 2.12: before it, the name is that of the outer "absent". A whole row would ask for the
-- right to read all of it.
select o.currency_code, o.canceled_at, coalesce(o.custom_display_id, o.display_id::text) as display_id,
    (
        select (s.totals ->> 'current_order_total')::numeric + coalesce((s.totals ->> 'credit_line_total')::numeric, 0)
        from order_summary as s
        where s.order_id = o.id and s.deleted_at is null
        order by s.version desc, s.id desc
        limit 1
    ) as total
from (values (null::text)) as absent (custom_display_id)
cross join lateral (
    select n.id, n.currency_code, n.canceled_at, n.display_id, custom_display_id
    from "order" as n
    where n.id = $1 and n.deleted_at is null
) as o
