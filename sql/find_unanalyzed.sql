-- $1 tables of Medusa's that are read
-- Those, and ours, that hold rows and were never analyzed, as after a restore.
select c.oid::regclass::text as name
from (
    select to_regclass(quote_ident(n.name)) as oid from unnest($1::text[]) as n (name)
    union
    select o.oid from pg_class as o where o.relnamespace = to_regnamespace('grace') and o.relkind = 'r'
) as t
join pg_class as c on c.oid = t.oid
join pg_namespace as s on s.oid = c.relnamespace
where pg_relation_size(c.oid) > 0
    and not exists (select from pg_stats as p where p.schemaname = s.nspname and p.tablename = c.relname)
order by 1
