-- Definers that read another schema than the one that the search path finds Medusa's tables in.
select p.proname as name
from pg_class as c
join pg_namespace as n on n.oid = c.relnamespace
join pg_proc as p on p.pronamespace = to_regnamespace('grace') and p.prosecdef and p.proname ~ '_v[0-9]+$'
where c.oid = to_regclass('"order"') and position(quote_ident(n.nspname) || '.' in p.prosrc) = 0
