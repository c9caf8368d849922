-- $1 payment id to start after, $2 limit
-- A hold on an order that is canceled already counts too: Medusa authorizes after it made the order, and its own
-- cancel swallows a void that failed. Holds of providers that we cannot speak to are left to the shop.
-- payment.id is "pay_" + ULID, so the primary key is an index by time; created_at has none.
select p.id as payment_id, o.id as order_id, o.created_at as placed_at
from payment as p
join order_payment_collection as l
    on l.payment_collection_id = p.payment_collection_id and l.deleted_at is null
join "order" as o
    on o.id = l.order_id and o.deleted_at is null and not o.is_draft_order and o.status <> 'draft'
where p.id > $1 and p.deleted_at is null and p.captured_at is null and p.canceled_at is null and p.amount > 0
    and p.provider_id ~ '^pp_(system|stripe(-[a-z0-9-]+)?)_'
    and not exists (select from grace.jobs as j where j.kind = 'capture' and j.subject = p.id)
order by p.id
limit $2
