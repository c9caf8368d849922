-- $1 names
-- Our own indexes that are not there, or not valid. Where schema grace is missing, its migrations are named instead.
select null as order_id, format('grace.%I', w.name) as detail
from unnest($1::text[]) as w (name)
where to_regnamespace('grace') is not null
    and not exists (
        select
        from pg_class as c
        join pg_index as x on x.indexrelid = c.oid
        where c.relnamespace = to_regnamespace('grace') and c.relname = w.name and x.indisvalid and x.indisready
    )
order by w.name
