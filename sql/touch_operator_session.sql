-- $1 hash of the session's id
update grace.operator_sessions set seen_at = now() where id_hash = $1 and ended_at is null
