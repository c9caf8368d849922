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
        and p.deleted_at is null and p.captured_at is null and p.canceled_at is null and p.amount > 0
        and p.provider_id ~ '^pp_(system|stripe(-[a-z0-9-]+)?)_'
    except
    select j.subject
    from grace.jobs as j
    where j.kind = 'capture' and j.subject > $1 and j.subject <= $3
)
select p.id as payment_id, o.id as order_id, o.created_at as placed_at
from unscheduled as u
join payment as p on p.id = u.id
join order_payment_collection as l
    on l.payment_collection_id = p.payment_collection_id and l.deleted_at is null
join "order" as o
    on o.id = l.order_id and o.deleted_at is null and not o.is_draft_order and o.status <> 'draft'
order by p.id
limit $2
