-- $1 order_id, $2 job_id, $3 calls, $4 when each began
insert into grace.events (order_id, at, kind, job_id, detail)
select $1, c.at, 'stripe_call', $2, c.detail
from unnest($3::jsonb[], $4::timestamptz[]) as c (detail, at)
