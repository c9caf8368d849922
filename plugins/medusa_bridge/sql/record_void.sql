-- $1 payment_id, $2 the intent as Stripe answered
update payment
set data = $2, canceled_at = coalesce(canceled_at, date_trunc('milliseconds', now())),
    updated_at = date_trunc('milliseconds', now())
where id = $1 and captured_at is null
