-- $1 id, $2 closed_by, $3 note
update grace.incidents
set closed_at = now(), closed_by = $2, note = $3, settled = true, announced_at = coalesce(announced_at, now())
where id = $1 and closed_at is null
