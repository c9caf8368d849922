-- $1 id, $2 attempts, $3 delay, $4 last_error
-- A claim that was taken over meanwhile is left to whoever took it.
update grace.alerts
set next_at = now() + $3::interval, last_error = $4
where id = $1 and attempts = $2 and delivered_at is null
