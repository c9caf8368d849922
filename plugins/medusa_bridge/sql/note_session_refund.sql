-- $1 payment_session_id, $2 what was refunded of it, in major units
select grace.note_session_refund_v1($1, $2)
