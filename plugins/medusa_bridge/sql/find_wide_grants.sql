-- What the present role may do beyond select, insert and update. A superuser may do all of it, an owner most of it.
with me as (
    select r.rolname, r.rolsuper from pg_roles as r where r.rolname = current_user
),
home as (
    select n.oid, n.nspname
    from pg_class as c
    join pg_namespace as n on n.oid = c.relnamespace
    where c.oid = to_regclass('"order"')
),
shop as (
    select c.oid, c.relname, pg_has_role(current_user, c.relowner, 'USAGE') as owned
    from pg_class as c
    join home as h on h.oid = c.relnamespace
    where c.relkind in ('r', 'p')
),
powers (what, tables) as (
    select 'owns', array_agg(s.relname order by s.relname) from shop as s where s.owned
    union all
    select 'may delete from', array_agg(s.relname order by s.relname)
    from shop as s
    where not s.owned and has_table_privilege(current_user, s.oid, 'DELETE')
    union all
    select 'may truncate', array_agg(s.relname order by s.relname)
    from shop as s
    where not s.owned and has_table_privilege(current_user, s.oid, 'TRUNCATE')
)
select null as order_id, format('%I is a superuser', m.rolname) as detail
from me as m
where m.rolsuper
union all
select null, format('%I may create in schema %I', m.rolname, h.nspname)
from me as m
cross join home as h
where not m.rolsuper and has_schema_privilege(current_user, h.oid, 'CREATE')
union all
select null, format(
        '%I %s %s%s', m.rolname, p.what, array_to_string(p.tables[:5], ', '),
        case when cardinality(p.tables) > 5 then format(' and %s more', cardinality(p.tables) - 5) else '' end
    )
from me as m
cross join powers as p
where not m.rolsuper and p.tables is not null
