-- $1 order_id
select canceled_by, reason, canceled_at from grace.cancellations where order_id = $1
