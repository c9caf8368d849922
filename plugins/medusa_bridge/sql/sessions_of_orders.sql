-- $1 order_ids
-- Payment sessions at Stripe that no payment was made of, with what Stripe's last recorded answer says of their money.
select l.order_id, s.id, s.payment_collection_id, s.provider_id, s.currency_code, s.amount::text as amount,
    s.intent ->> 'id' as intent_id, s.intent ->> 'status' as intent_status, s.intent ->> 'currency' as intent_currency,
    s.intent ->> 'amount_received' as received, s.intent ->> 'refunded' as refunded
from order_payment_collection as l
cross join lateral (
    select s.id, s.payment_collection_id, s.provider_id, s.currency_code, s.amount, grace.session_intent_v1(s.id) as intent
    from payment_session as s
    where s.payment_collection_id = l.payment_collection_id and s.deleted_at is null
        and (s.provider_id ~ '^pp_stripe(-[a-z0-9-]+)?_') is true
        and not exists (
            select
            from payment as q
            where q.payment_session_id = s.id and (q.deleted_at is null) is true
        )
    offset 0
) as s
where l.order_id = any($1::text[]) and (l.deleted_at is null) is true and s.intent ->> 'id' is not null
order by l.order_id, s.id
