-- $1 name
-- Read without a lock, for searches that only begin where it stands.
select position from grace.cursors where name = $1
