-- $1 payment id to start after, $2 limit, $3 newest payment id
-- A hold on an order that is canceled already counts too: Medusa authorizes after it made the order, and its own
-- cancel swallows a void that failed. Holds of providers that we cannot speak to are left to the shop.
-- payment.id is "pay_" + ULID, so the primary key is an index by time; created_at has none.
-- Payments and jobs are each read once, from $1 to $3, and nearly always nothing is left: a search in the jobs for
-- each payment costs more the older the shop is, and without $3 the planner expects a third of the table.
with unscheduled as materialized (
    select p.id
    from payment as p
    where p.id > $1 and p.id <= $3
        and (p.deleted_at is null and p.captured_at is null and p.canceled_at is null and p.amount > 0) is true
        and (p.provider_id ~ '^pp_(system|stripe(-[a-z0-9-]+)?)(_|$)') is true
    except
    select j.subject
    from grace.jobs as j
    where j.kind = 'capture' and j.subject > $1 and j.subject <= $3
)
select p.id as payment_id, p.provider_id, o.id as order_id, grace.placed_at_v1(o.id, o.version::integer, o.created_at, o.updated_at) as placed_at,
    o.status = 'canceled' or o.canceled_at is not null as is_canceled
from unscheduled as u
cross join lateral (
    select q.id, q.provider_id, q.payment_collection_id from payment as q where q.id = u.id offset 0
) as p
cross join lateral (
    select k.order_id
    from order_payment_collection as k
    where k.payment_collection_id = p.payment_collection_id and k.deleted_at is null
    offset 0
) as l
cross join lateral (
    select q.id, q.created_at, q.updated_at, q.version, q.status, q.canceled_at
    from "order" as q
    where q.id = l.order_id and (q.deleted_at is null and not q.is_draft_order and q.status <> 'draft') is true
    offset 0
) as o
order by p.id, o.id
limit $2
