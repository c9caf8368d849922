-- $1 name, $2 position
insert into grace.cursors (name, position) values ($1, $2) on conflict (name) do nothing
