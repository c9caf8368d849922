-- $1 order_id, $2 payment ids, $3 the order that needs each, $4 when each is due, $5 request_id, $6 traceparent
select grace.hand_over_captures_v1($1, $2, $3, $4, $5, $6)
