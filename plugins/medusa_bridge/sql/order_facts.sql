-- $1 order_id
-- One row a payment; one row with id null when there is none; no row for drafts and deleted orders.
-- "mark" is the same for the same facts, whenever they were read.
select f.*, md5((jsonb_agg(to_jsonb(f) - 'read_at') over ())::text) as mark
from (
    select o.id as order_id, o.status::text as status, o.canceled_at as order_canceled_at, o.version, o.created_at, o.customer_id,
        o.currency_code as order_currency,
        (
            -- Two writers can both make a version: the lower total is the one that charges nobody too much.
            select min(coalesce(
                (s.totals -> 'raw_current_order_total' ->> 'value')::numeric,
                (s.totals ->> 'current_order_total')::numeric
            ))
            from order_summary as s
            where s.order_id = $1 and s.version = o.version and s.deleted_at is null
        ) as total,
        (
            select coalesce(sum(t.amount), 0)
            from order_transaction as t
            where t.order_id = $1 and t.deleted_at is null
        ) as booked,
        clock_timestamp() as read_at,
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
        p.id, p.payment_collection_id, p.provider_id, p.currency_code, p.amount, p.captured_at, p.canceled_at,
        p.data ->> 'id' as intent_id,
        (select coalesce(sum(c.amount), 0) from capture as c where c.payment_id = p.id and c.deleted_at is null) as captured,
        (
            -- Medusa books a capture last, once Stripe has answered.
            select coalesce(sum(c.amount), 0)
            from capture as c
            where c.payment_id = p.id and c.deleted_at is null
                and (
                    select t.id
                    from order_transaction as t
                    where t.order_id = $1 and t.reference = 'capture' and t.reference_id = c.id and t.deleted_at is null
                    limit 1
                ) is null
        ) as unbooked,
        (select max(c.created_at) from capture as c where c.payment_id = p.id and c.deleted_at is null) as last_captured_at,
        (select coalesce(sum(r.amount), 0) from refund as r where r.payment_id = p.id and r.deleted_at is null) as refunded,
        (select max(r.created_at) from refund as r where r.payment_id = p.id and r.deleted_at is null) as last_refunded_at,
        exists (
            select
            from grace.jobs as j
            where j.kind = 'capture' and j.subject = p.id
                and (j.state = 'running' or (j.in_doubt and j.state in ('scheduled', 'queued')))
        ) as is_capturing
    from "order" as o
    left join (
        select q.id, q.payment_collection_id, q.provider_id, q.currency_code, q.amount, q.captured_at, q.canceled_at, q.data
        from payment as q
        where q.deleted_at is null
            and q.payment_collection_id in (
                select l.payment_collection_id
                from order_payment_collection as l
                where l.order_id = $1 and l.deleted_at is null
            )
    ) as p on true
    where o.id = $1 and o.deleted_at is null and not o.is_draft_order and o.status <> 'draft'
    order by p.id
) as f
order by f.id
