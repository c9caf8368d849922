-- $1 kind, $2 order_id, $3 subject
-- A new key, since Stripe would replay its old answer. The subject's only job, whichever order it was scheduled for.
update grace.jobs
set order_id = $2, state = 'scheduled', run_at = now(), key_number = key_number + 1, updated_at = now()
where kind = $1 and subject = $3 and state in ('done', 'removed')
