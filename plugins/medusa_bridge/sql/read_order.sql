-- $1 order_id
select * from grace.read_order_v1($1)
