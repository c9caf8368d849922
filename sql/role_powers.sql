-- $1 role
-- What the role may do beside its grants, and the statement that takes it away.
select format('%I has %s', r.rolname, a.name) as power, format('alter role %I no%s', r.rolname, lower(a.name)) as remedy
from pg_roles as r
cross join lateral (
    values ('CREATEDB', r.rolcreatedb), ('CREATEROLE', r.rolcreaterole), ('BYPASSRLS', r.rolbypassrls),
        ('REPLICATION', r.rolreplication)
) as a (name, held)
where r.rolname = $1 and a.held
union all
select format('%I is a member of %I', r.rolname, g.rolname), format('revoke %I from %I', g.rolname, r.rolname)
from pg_roles as r
join pg_auth_members as m on m.member = r.oid
join pg_roles as g on g.oid = m.roleid
where r.rolname = $1
order by 1
