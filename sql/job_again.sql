-- $1 kind, $2 order_id, $3 subject
-- A new key, since Stripe would replay its old answer.
update grace.jobs
set state = 'scheduled', run_at = now(), key_number = key_number + 1, updated_at = now()
where kind = $1 and order_id = $2 and subject = $3 and state in ('done', 'removed')
