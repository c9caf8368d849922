-- $1 event_id
delete from grace.pending_stripe_events where event_id = $1
