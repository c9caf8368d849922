-- $1 id, $2 generation, $3 state, $4 last_error
update grace.jobs
set state = $3, lease_until = null, in_doubt = false, failures = 0, failing_since = null,
    last_error = coalesce($4, last_error), updated_at = now()
where id = $1 and generation = $2 and state = 'running'
