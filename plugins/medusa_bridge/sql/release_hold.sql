-- $1 payment_collection_id, $2 payment_id
-- A hold that an open order does not owe any more was released. Where no other payment of the collection is left, the
-- collection is canceled, as by Medusa's own cancel; else it asks for so much less.
update payment_collection as c
set status = case when o.is_left then c.status else 'canceled' end,
    amount = case when o.is_left then c.amount - p.amount else c.amount end,
    raw_amount = case
        when o.is_left
            then jsonb_build_object('value', trim_scale(c.amount - p.amount)::text, 'precision', 20)
        else c.raw_amount
    end,
    updated_at = date_trunc('milliseconds', now())
from payment as p
cross join lateral (
    select exists (
        select
        from payment as q
        where q.payment_collection_id = $1 and q.id <> p.id and q.deleted_at is null and q.canceled_at is null
    ) as is_left
) as o
where p.id = $2 and c.id = $1
