-- $1 order_id
-- Credit lines lower current_order_total: after a refunded cancel of Medusa's it is 0, so they are added again.
-- custom_display_id is read in a roundabout way because the oldest 2.x has no such column.
select o.currency_code, o.canceled_at, coalesce(to_jsonb(o) ->> 'custom_display_id', o.display_id::text) as display_id,
    (
        select (s.totals ->> 'current_order_total')::numeric + coalesce((s.totals ->> 'credit_line_total')::numeric, 0)
        from order_summary as s
        where s.order_id = o.id and s.deleted_at is null
        order by s.version desc, s.id desc
        limit 1
    ) as total
from "order" as o
where o.id = $1 and o.deleted_at is null
