-- $1 order_id, $2 id of the job, $3 calls, $4 when each began
insert into grace.events (order_id, at, kind, job_id, detail)
select $1, c.at, 'stripe_call', (select j.id from grace.jobs as j where j.ulid = $2), c.detail
from unnest($3::jsonb[], $4::timestamptz[]) as c (detail, at)
