-- $1 order_id, $2 payment ids, $3 the order that needs each, $4 when each is due, $5 request_id, $6 traceparent
-- Captures of a canceled order that are removed or dead, of holds that other orders need: scheduled for those, under a
-- new key, since Stripe would replay its old answer.
update grace.jobs as j
set order_id = n.order_id, state = 'scheduled', run_at = n.due, key_number = j.key_number + 1, request_id = $5,
    traceparent = $6, updated_at = now()
from unnest($2::text[], $3::text[], $4::timestamptz[]) as n (subject, order_id, due)
where j.kind = 'capture' and j.subject = n.subject and (j.order_id = $1 and j.state in ('removed', 'dead')) is true
