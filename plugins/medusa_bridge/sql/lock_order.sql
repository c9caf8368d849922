-- $1 order_id
select * from grace.lock_order_v1($1)
