-- $1 id, $2 generation, $3 delay, $4 in_doubt
-- Later, and not a failure.
update grace.jobs
set state = 'scheduled', lease_until = null, run_at = now() + $3::interval, in_doubt = $4, updated_at = now()
where id = $1 and generation = $2 and state = 'running'
