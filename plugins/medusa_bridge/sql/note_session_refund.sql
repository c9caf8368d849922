-- $1 payment_session_id, $2 what was refunded of it, in major units
select {note_session_refund}($1, $2)
