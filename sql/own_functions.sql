-- The body of a definer names the schema that it reads.
select 'grace.' || p.proname as name, p.prosrc as body
from pg_proc as p
where p.pronamespace = to_regnamespace('grace')
