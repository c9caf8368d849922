-- $1 name
-- One worker at a time: the others skip their turn.
select position from grace.cursors where name = $1 for update skip locked
