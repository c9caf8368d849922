-- $1 order_id
select kind from grace.incidents where order_id = $1 and closed_at is null
