-- $1 event_id, $2 type, $3 intent_id, $4 session_id, $5 how many at most
insert into grace.pending_stripe_events (event_id, type, intent_id, session_id)
select $1, $2, $3, $4
where (select count(*) from (select from grace.pending_stripe_events limit $5) as kept) < $5
on conflict (event_id) do nothing
