select p.proname as name
from pg_proc as p
where p.pronamespace = to_regnamespace('grace') and p.prosecdef and p.proname ~ '_(v[0-9]+|[0-9a-f]{8})$'
order by p.proname
