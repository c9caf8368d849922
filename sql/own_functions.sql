select 'grace.' || p.proname as name
from pg_proc as p
where p.pronamespace = to_regnamespace('grace')
