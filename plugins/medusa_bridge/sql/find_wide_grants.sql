-- $1 tables, $2 privileges, $3 columns ('' for the whole table), in parallel: what is needed
-- What the present role may do beyond that. A superuser may do all of it, an owner most of it.
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
needed as (
    select s.oid, n.privilege, n.attribute
    from unnest($1::text[], $2::text[], $3::text[]) as n (relation, privilege, attribute)
    join shop as s on s.relname = n.relation
),
verbs (place, privilege, verb) as (
    values (2, 'select', 'may read'), (3, 'insert', 'may insert into'), (4, 'update', 'may update'),
        (5, 'delete', 'may delete from'), (6, 'truncate', 'may truncate'), (7, 'references', 'may refer to'),
        (8, 'trigger', 'may put triggers on')
),
excess as (
    select v.place, v.privilege, s.relname,
        case when count(n.oid) = 0 then v.verb else v.verb || ' too much of' end as verb
    from shop as s
    cross join verbs as v
    left join needed as n on n.oid = s.oid and n.privilege = v.privilege
    where not s.owned
    group by v.place, v.privilege, v.verb, s.oid, s.relname
    having (
            has_table_privilege(current_user, s.oid, v.privilege) and count(n.oid) filter (where n.attribute = '') = 0
        )
        or (
            v.privilege in ('select', 'insert', 'update', 'references')
            and count(n.oid) filter (where n.attribute = '') = 0
            and exists (
                select
                from pg_attribute as t
                where t.attrelid = s.oid and t.attnum > 0 and not t.attisdropped
                    and t.attname <> all(coalesce(array_agg(n.attribute) filter (where n.oid is not null), '{}'))
                    and has_column_privilege(current_user, s.oid, t.attnum, v.privilege)
            )
        )
),
powers (place, what, tables) as (
    select 1, 'owns', array_agg(s.relname order by s.relname) from shop as s where s.owned
    union all
    select e.place, e.verb, array_agg(e.relname order by e.relname) from excess as e group by e.place, e.verb
)
select null as order_id, format('%I is a superuser', m.rolname) as detail
from me as m
where m.rolsuper
union all
select null, format('%I has %s', m.rolname, a.name)
from me as m
join pg_roles as r on r.rolname = m.rolname
cross join lateral (
    values ('CREATEDB', r.rolcreatedb), ('CREATEROLE', r.rolcreaterole), ('BYPASSRLS', r.rolbypassrls),
        ('REPLICATION', r.rolreplication)
) as a (name, held)
where not m.rolsuper and a.held
union all
select null, format('%I is a member of %I', m.rolname, g.rolname)
from me as m
cross join pg_roles as g
where not m.rolsuper and g.rolname <> m.rolname and pg_has_role(m.rolname, g.oid, 'MEMBER')
union all
select null, format('%I may create in schema %I', m.rolname, h.nspname)
from me as m
cross join home as h
where not m.rolsuper and has_schema_privilege(current_user, h.oid, 'CREATE')
union all
select null, d.detail
from (
    select p.place, format(
            '%I %s %s%s', m.rolname, p.what, array_to_string(p.tables[:5], ', '),
            case when cardinality(p.tables) > 5 then format(' and %s more', cardinality(p.tables) - 5) else '' end
        ) as detail
    from me as m
    cross join powers as p
    where not m.rolsuper and p.tables is not null
    order by p.place, p.what
) as d
