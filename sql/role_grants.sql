-- $1 role, $2 schemas
-- What was granted to this very role there, not what it has through others. relation '' is the schema itself, '*' what
-- tables to come are given; attribute '' is the whole table.
with role as (
    select r.oid from pg_roles as r where r.rolname = $1
),
home as (
    select n.oid, n.nspname, n.nspacl from pg_namespace as n where n.nspname = any($2::text[])
)
select h.nspname as schema, '' as relation, lower(a.privilege_type) as privilege, '' as attribute
from home as h
cross join aclexplode(h.nspacl) as a
join role as r on r.oid = a.grantee
union all
select h.nspname, c.relname, lower(a.privilege_type), ''
from home as h
join pg_class as c on c.relnamespace = h.oid and c.relkind in ('r', 'p', 'v', 'm', 'f')
cross join aclexplode(c.relacl) as a
join role as r on r.oid = a.grantee
union all
select h.nspname, c.relname, lower(a.privilege_type), t.attname
from home as h
join pg_class as c on c.relnamespace = h.oid and c.relkind in ('r', 'p', 'v', 'm', 'f')
join pg_attribute as t on t.attrelid = c.oid
cross join aclexplode(t.attacl) as a
join role as r on r.oid = a.grantee
union all
select h.nspname, p.proname, lower(a.privilege_type), ''
from home as h
join pg_proc as p on p.pronamespace = h.oid and p.prosecdef and h.nspname = 'grace'
cross join aclexplode(p.proacl) as a
join role as r on r.oid = a.grantee
union all
select h.nspname, '*', lower(a.privilege_type), ''
from home as h
join pg_default_acl as d on d.defaclnamespace = h.oid and d.defaclobjtype = 'r'
cross join aclexplode(d.defaclacl) as a
join role as r on r.oid = a.grantee
where d.defaclrole = (select m.oid from pg_roles as m where m.rolname = current_user)
