-- Functions of versions that named each by a digest of its text.
select p.oid::regprocedure::text as signature
from pg_proc as p
where p.pronamespace = to_regnamespace('grace') and p.proname ~ '_[0-9a-f]{8}$'
order by 1
