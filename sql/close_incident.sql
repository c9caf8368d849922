-- $1 order_id, $2 kind
update grace.incidents set closed_at = now() where order_id = $1 and kind = $2 and closed_at is null
