-- $1 order_id, $2 mark, $3 held, $4 shared, $5 canceled_by, $6 reason, $7 request_id, $8 reason_label, $9 kinds, $10 subjects, $11 traceparent, $12 captures, $13 heirs, $14 dues
select grace.cancel_order_v1($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
