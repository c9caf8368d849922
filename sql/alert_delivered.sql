-- $1 id
update grace.alerts set delivered_at = now(), last_error = null where id = $1 and delivered_at is null
