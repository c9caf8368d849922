-- $1 schemas
-- What each role may do there, because PUBLIC may, and the statement that takes it away. To use a schema is no more than
-- to name what is in it, save in schema grace.
with home as (
    select n.oid, n.nspname, n.nspacl from pg_namespace as n where n.nspname = any($1::text[])
),
relations as (
    select h.nspname, c.oid, c.relname, c.relacl
    from home as h
    join pg_class as c on c.relnamespace = h.oid and c.relkind in ('r', 'p', 'v', 'm', 'f')
),
held (place, privilege, target) as (
    select 1, lower(a.privilege_type) || ' on', format('schema %I', h.nspname)
    from home as h
    cross join aclexplode(h.nspacl) as a
    where a.grantee = 0 and (a.privilege_type = 'CREATE' or h.nspname = 'grace')
    union all
    select 2, lower(a.privilege_type) || ' on', format('%I.%I', r.nspname, r.relname)
    from relations as r
    cross join aclexplode(r.relacl) as a
    where a.grantee = 0
    union all
    select 3, format('%s (%s) on', lower(a.privilege_type), string_agg(quote_ident(t.attname), ', ' order by t.attname)),
        format('%I.%I', r.nspname, r.relname)
    from relations as r
    join pg_attribute as t on t.attrelid = r.oid
    cross join aclexplode(t.attacl) as a
    where a.grantee = 0
    group by r.nspname, r.relname, a.privilege_type
    union all
    select 4, lower(a.privilege_type) || ' on function', format('%I.%I', h.nspname, p.proname)
    from home as h
    join pg_proc as p on p.pronamespace = h.oid and p.prosecdef and h.nspname = 'grace'
    cross join aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) as a
    where a.grantee = 0
)
select format('PUBLIC has %s %s', h.privilege, string_agg(h.target, ', ' order by h.target)) as power,
    format('revoke %s %s from public', h.privilege, string_agg(h.target, ', ' order by h.target)) as remedy
from held as h
group by h.place, h.privilege
order by h.place, h.privilege
