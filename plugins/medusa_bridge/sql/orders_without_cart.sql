-- $1 last order looked at, $2 newest order id
-- Of the orders in between, those that are open and were made without a cart, from a draft that is: no index of Medusa's
-- leads to a conversion. One row for each hold that no capture is scheduled for, else one with payment_id null.
with made as materialized (
    select q.id, q.created_at, q.updated_at, q.version
    from "order" as q
    where q.id > $1 and q.id <= $2
        and (
            q.deleted_at is null and not q.is_draft_order and q.status not in ('draft', 'canceled') and q.canceled_at is null
        ) is true
        and (
            select k.order_id from order_cart as k where k.order_id = q.id and (k.deleted_at is null) is true limit 1
        ) is null
)
select o.id as order_id, grace.placed_at_v1(o.id, o.version::integer, o.created_at, o.updated_at) as placed_at, p.id as payment_id, p.provider_id,
    (select v.order_id from grace.conversions as v where v.order_id = o.id) is not null as is_recorded
from made as o
left join lateral (
    select q.id, q.provider_id
    from order_payment_collection as l
    cross join lateral (
        select q.id, q.provider_id
        from payment as q
        where q.payment_collection_id = l.payment_collection_id and q.deleted_at is null
            and q.captured_at is null and q.canceled_at is null and q.amount > 0
            and (q.provider_id ~ '^pp_(system|stripe(-[a-z0-9-]+)?)(_|$)') is true
            and (select j.id from grace.jobs as j where j.kind = 'capture' and j.subject = q.id limit 1) is null
        offset 0
    ) as q
    where l.order_id = o.id and (l.deleted_at is null) is true
    offset 0
) as p on true
order by o.id, p.id
