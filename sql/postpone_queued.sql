-- $1 id, $2 generation, $3 delay
-- A message that could not be worked on, because another worker holds the order's lock.
update grace.jobs
set state = 'scheduled', run_at = now() + $3::interval, updated_at = now()
where id = $1 and generation = $2 and state = 'queued'
