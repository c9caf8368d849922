-- $1 id, $2 generation, $3 delay, $4 last_error, $5 in_doubt, $6 new_key
update grace.jobs
set state = 'scheduled', lease_until = null, run_at = now() + $3::interval,
    failures = failures + 1, failing_since = coalesce(failing_since, now()),
    last_error = $4, in_doubt = $5, key_number = key_number + $6::boolean::int, updated_at = now()
where id = $1 and generation = $2 and state = 'running'
