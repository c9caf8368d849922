-- $1 hash of the session's id, $2 why
update grace.operator_sessions set ended_at = now(), end_reason = $2, credential = null
where id_hash = $1 and ended_at is null
returning true
