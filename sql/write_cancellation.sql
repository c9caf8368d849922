-- $1 order_id, $2 canceled_by, $3 reason, $4 request_id, $5 reason_label, $6 kinds, $7 subjects, $8 traceparent
-- All that is ours of a cancellation, in one statement.
with removed as (
    -- The exact removal: in the same commit as the cancellation. Whatever Redis or a worker's memory still
    -- holds, no message of these jobs finds its row in state "queued" again.
    update grace.jobs
    set state = 'removed', failures = 0, failing_since = null, updated_at = now()
    where order_id = $1 and (kind = 'capture' and state in ('scheduled', 'queued')) is true
),
added as (
    insert into grace.cancellations (order_id, canceled_by, reason, request_id, canceled_at, reason_label)
    values ($1, $2, $3, $4, clock_timestamp(), $5)
    on conflict (order_id) do update
    set canceled_by = excluded.canceled_by, reason = excluded.reason, request_id = excluded.request_id,
        canceled_at = excluded.canceled_at, reason_label = excluded.reason_label
    returning order_id, canceled_by, reason, reason_label, request_id, canceled_at
),
told as (
    insert into grace.events (order_id, kind, request_id, actor, detail)
    select order_id, 'cancel_accepted', request_id, canceled_by, jsonb_build_object(
        'reason', coalesce(reason_label, reason), 'waited_ms', round(extract(epoch from canceled_at - now()) * 1000)
    )
    from added
)
-- An order can be canceled, opened and canceled again: a job that is over is done once more, under a new key, since
-- Stripe would replay its old answer. Events are published once for each cancellation (see schedule_event).
insert into grace.jobs as j (kind, order_id, subject, run_at, request_id, traceparent)
select n.kind, $1,
    case
        when n.kind = 'publish' and (
            select e.id from grace.jobs as e where e.kind = 'publish' and e.subject = n.event limit 1
        ) is null
            then n.event
        else n.subject
    end,
    now(), $4, $8
from (
    select u.kind, u.subject, split_part(u.subject, ':', 1) || ':' || split_part(u.subject, ':', 2) as event
    from unnest($6::text[], $7::text[]) as u (kind, subject)
) as n
on conflict on constraint jobs_one_per_subject do update
set order_id = excluded.order_id, state = 'scheduled', run_at = now(), key_number = j.key_number + 1, request_id = excluded.request_id,
    traceparent = excluded.traceparent, updated_at = now()
where j.kind in ('void', 'release') and j.state in ('done', 'removed', 'dead')
