-- $1 whether everything should be at rest
select o.id as order_id, format('%s live reservation(s): %s', count(*), string_agg(r.id, ', ' order by r.id)) as detail
from reservation_item as r
join (select distinct order_id, item_id from order_item) as i on i.item_id = r.line_item_id
join "order" as o on o.id = i.order_id and o.deleted_at is null
where r.deleted_at is null and (o.status = 'canceled' or o.canceled_at is not null)
    and not exists (
        select
        from grace.jobs as j
        where not $1::boolean and j.kind = 'release' and j.order_id = o.id
            and j.state in ('scheduled', 'queued', 'running')
    )
    and not exists (
        select
        from grace.incidents as n
        where n.order_id = o.id and n.kind in ('release_failed', 'fulfilled') and n.closed_at is null
    )
group by o.id
order by o.id
