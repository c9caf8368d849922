-- $1 order_ids
-- Every payment of the orders, with what Stripe's last recorded answer says of its hold; an order without any is a row
-- too. capture_before is only there where the charge was recorded in full.
select o.id as order_id, o.display_id, o.currency_code as order_currency, grace.placed_at_v1(o.id, o.version::integer, o.created_at, o.updated_at) as placed_at,
    o.status = 'canceled' or o.canceled_at is not null as order_canceled, o.canceled_at as order_canceled_at, p.id,
    p.provider_id, p.currency_code, p.amount, p.captured_at, p.canceled_at, p.payment_collection_id, p.payment_session_id,
    p.created_at as authorized_at, p.intent ->> 'id' as intent_id, p.intent ->> 'livemode' as livemode,
    p.intent ->> 'status' as intent_status, p.intent ->> 'capture_before' as capture_before,
    c.captured, c.last_captured_at, r.refunded, r.last_refunded_at
from "order" as o
left join lateral (
    select k.payment_collection_id
    from order_payment_collection as k
    where k.order_id = o.id and (k.deleted_at is null) is true
    offset 0
) as l on true
left join lateral (
    select q.id, q.provider_id, q.currency_code, q.amount, q.captured_at, q.canceled_at, q.payment_collection_id,
        q.payment_session_id, q.created_at, grace.payment_intent_v1(q.id) as intent
    from payment as q
    where q.payment_collection_id = l.payment_collection_id and q.deleted_at is null
    offset 0
) as p on true
left join lateral (
    select coalesce(sum(c.amount), 0) as captured, max(c.created_at) as last_captured_at
    from capture as c
    where c.payment_id = p.id and c.deleted_at is null
) as c on true
left join lateral (
    select coalesce(sum(r.amount), 0) as refunded, max(r.created_at) as last_refunded_at
    from refund as r
    where r.payment_id = p.id and r.deleted_at is null
) as r on true
where o.id = any($1::text[]) and o.deleted_at is null
order by o.id, p.id
