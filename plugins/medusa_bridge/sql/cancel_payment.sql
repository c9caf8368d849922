-- $1 payment_id
update payment
set canceled_at = date_trunc('milliseconds', now()), updated_at = date_trunc('milliseconds', now())
where id = $1 and canceled_at is null and captured_at is null
