select c.relname as name
from pg_class as c
where c.relnamespace = to_regnamespace('grace') and c.relkind in ('r', 'p')
order by c.relname
