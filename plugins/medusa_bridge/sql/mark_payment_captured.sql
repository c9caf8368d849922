-- $1 payment_id, $2 whether no more of it will be captured
update payment
set captured_at = case when $2 then date_trunc('milliseconds', now()) else captured_at end,
    canceled_at = null, updated_at = date_trunc('milliseconds', now())
where id = $1
