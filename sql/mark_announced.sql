-- $1 ids
update grace.incidents set announced_at = now() where id = any($1::bigint[])
