-- $1 payment_session_id, $2 the intent as Stripe answered
-- A session that a payment was made of meanwhile is left to that payment.
update payment_session as s
set data = $2::jsonb, status = case when $2::jsonb ->> 'status' = 'canceled' then 'canceled' else s.status end,
    updated_at = date_trunc('milliseconds', now())
where s.id = $1 and s.deleted_at is null
