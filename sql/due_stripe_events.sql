-- $1 how many
-- Each is next looked at after a tenth of its age, between 5 s and 10 min.
with due as (
    select e.event_id
    from grace.pending_stripe_events as e
    where e.next_at <= now()
    order by e.next_at
    limit $1
    for update skip locked
)
update grace.pending_stripe_events as e
set next_at = now() + least(greatest((now() - e.received_at) / 10, interval '5 seconds'), interval '10 minutes')
from due
where e.event_id = due.event_id
returning e.event_id, e.type, e.intent_id, e.session_id, e.received_at < now() - interval '1 day' as is_over
