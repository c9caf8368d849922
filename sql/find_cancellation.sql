-- $1 order_id, $2 request_id
select 1 from grace.cancellations where order_id = $1 and request_id = $2
