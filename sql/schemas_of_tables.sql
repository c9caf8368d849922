-- $1 tables
-- The schema that the search path finds each table in, quoted where need be.
select t.name as table, quote_ident(n.nspname) as schema
from unnest($1::text[]) as t (name)
join pg_class as c on c.oid = to_regclass(quote_ident(t.name))
join pg_namespace as n on n.oid = c.relnamespace
