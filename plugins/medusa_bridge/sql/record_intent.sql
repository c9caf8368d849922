-- $1 payment_id, $2 the intent as Stripe answered
update payment
set data = $2::jsonb
where id = $1
