-- $1 whether everything should be at rest
select o.id as order_id, format('%s is not canceled', f.id) as detail
from "order" as o
join order_fulfillment as l on l.order_id = o.id and l.deleted_at is null
join fulfillment as f on f.id = l.fulfillment_id and f.deleted_at is null and f.canceled_at is null
where o.deleted_at is null and (o.status = 'canceled' or o.canceled_at is not null)
    and ($1::boolean or greatest(o.updated_at, f.updated_at) < now() - interval '1 minute')
    and not exists (
        select
        from grace.incidents as i
        where i.order_id = o.id and i.kind = 'fulfilled' and i.closed_at is null
    )
order by f.id
