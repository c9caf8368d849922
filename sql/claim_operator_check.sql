-- $1 hash of the session's id, $2 time between two checks. One row for the request that is to ask Medusa.
update grace.operator_sessions set checked_at = now()
where id_hash = $1 and ended_at is null and checked_at <= now() - $2::interval
returning true
