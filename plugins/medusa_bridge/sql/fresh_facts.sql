-- $1 order_id, $2 payment_ids
-- Run after the locks, in a statement of its own: a read inside the statement that waited for a lock
-- would still see the old snapshot. One row a payment; one row with payment_id null when there is none.
select clock_timestamp() as read_at,
    (
        select count(*)
        from order_fulfillment as l
        join fulfillment as f on f.id = l.fulfillment_id
        where l.order_id = $1 and l.deleted_at is null and f.deleted_at is null and f.canceled_at is null
    ) as live_fulfillments,
    (
        select count(*)
        from order_change as c
        where c.order_id = $1 and c.deleted_at is null and c.status in ('pending', 'requested')
    ) as open_changes,
    p.id as payment_id,
    (select coalesce(sum(c.amount), 0) from capture as c where c.payment_id = p.id and c.deleted_at is null) as captured,
    (select max(c.created_at) from capture as c where c.payment_id = p.id and c.deleted_at is null) as last_captured_at,
    (select coalesce(sum(r.amount), 0) from refund as r where r.payment_id = p.id and r.deleted_at is null) as refunded,
    (select max(r.created_at) from refund as r where r.payment_id = p.id and r.deleted_at is null) as last_refunded_at
from (select 1) as one
left join unnest($2::text[]) as p (id) on true
