-- $1 order_id, $2 event and what it happened to, $3 occurrence or null, $4 request_id, $5 traceparent
-- The first occurrence has the subject without it: workers of an earlier version know no other.
insert into grace.jobs (kind, order_id, subject, run_at, request_id, traceparent)
select 'publish', $1,
    case
        when $3::text is not null and (
            select e.id from grace.jobs as e where e.kind = 'publish' and e.subject = $2 limit 1
        ) is not null
            then $2 || ':' || $3
        else $2
    end,
    now(), $4, $5
on conflict on constraint jobs_one_per_subject do nothing
