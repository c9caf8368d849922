-- $1 key of the advisory lock
-- Which session holds the lock of migrations, and for how long it has done nothing; null while it is at work.
select l.pid, coalesce(a.application_name, '') as application_name,
    case
        when a.application_name <> 'medusa-grace-migrate' then extract(epoch from clock_timestamp() - a.backend_start)
        when a.state <> 'active' then extract(epoch from clock_timestamp() - a.state_change)
    end::float8 as idle
from pg_locks as l
left join pg_stat_activity as a on a.pid = l.pid
where l.locktype = 'advisory' and l.granted and l.objsubid = 1
    and l.database = (select d.oid from pg_database as d where d.datname = current_database())
    and l.classid::bigint = $1::bigint >> 32 and l.objid::bigint = $1::bigint & 4294967295
