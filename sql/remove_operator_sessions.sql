-- $1 how long rows are kept
delete from grace.operator_sessions
where id_hash in (
    select s.id_hash from grace.operator_sessions as s
    where s.begun_at < now() - $1::interval
    order by s.begun_at
    limit 1000
)
