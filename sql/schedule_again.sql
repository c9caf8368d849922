-- $1 kind, $2 order_id, $3 subjects, $4 request_id, $5 traceparent, $6 when, or null for now
-- As schedule_jobs, and a job that is over is done once more: an order can be canceled, opened and canceled again. Under
-- a new key, since Stripe would replay its old answer. A payment that orders share has one job, of the order that it is
-- scheduled for last. What waits or runs will see for itself.
insert into grace.jobs as j (kind, order_id, subject, run_at, request_id, traceparent)
select $1, $2, s.subject, coalesce($6, now()), $4, $5
from unnest($3::text[]) as s (subject)
on conflict on constraint jobs_one_per_subject do update
set order_id = excluded.order_id, state = 'scheduled', run_at = excluded.run_at, key_number = j.key_number + 1, request_id = excluded.request_id,
    traceparent = excluded.traceparent, updated_at = now()
where j.state in ('done', 'removed', 'dead')
