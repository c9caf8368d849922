-- $1 payment_id
-- Medusa's admin refunds no payment whose canceled_at stands, captured or not.
update payment
set canceled_at = null, updated_at = date_trunc('milliseconds', now())
where id = $1 and captured_at is not null and canceled_at is not null
