-- $1 payment_id, $2 the intent as Stripe answered or null, $3 whether no more of it will be captured
update payment
set captured_at = case when $3 then date_trunc('milliseconds', now()) else captured_at end,
    canceled_at = null, data = coalesce($2::jsonb, data), updated_at = date_trunc('milliseconds', now())
where id = $1
