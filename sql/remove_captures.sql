-- $1 order_id
-- The exact removal: in the same commit as the cancellation. Whatever Redis or a worker's memory still
-- holds, no message of these jobs finds its row in state "queued" again.
update grace.jobs
set state = 'removed', failures = 0, failing_since = null, updated_at = now()
where order_id = $1 and (kind = 'capture' and state in ('scheduled', 'queued')) is true
returning id
