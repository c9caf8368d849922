-- $1 hash of the session's id, $2 longest pause, $3 longest life, $4 time between two checks
select
    s.credential,
    case
        when s.ended_at is not null then s.end_reason
        when s.begun_at <= now() - $3::interval then 'expired'
        when s.seen_at <= now() - $2::interval then 'idle'
    end as over,
    s.ended_at is not null as ended,
    s.seen_at <= now() - $4::interval as touch_due,
    s.checked_at <= now() - $4::interval as check_due
from grace.operator_sessions as s
where s.id_hash = $1
