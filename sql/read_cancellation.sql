-- $1 order_id
select canceled_by, reason, reason_label, canceled_at from grace.cancellations where order_id = $1
