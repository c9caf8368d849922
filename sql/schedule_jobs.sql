-- $1 kind, $2 order_ids, $3 subjects, $4 run_ats, $5 request_id, $6 traceparent
-- A subject has one job of a kind for ever: scheduling it again is no second job.
insert into grace.jobs (kind, order_id, subject, run_at, request_id, traceparent)
select $1, j.order_id, j.subject, coalesce(j.run_at, now()), $5, $6
from unnest($2::text[], $3::text[], $4::timestamptz[]) as j (order_id, subject, run_at)
on conflict on constraint jobs_one_per_subject do nothing
