-- Views of other schemas that read schema grace: "drop schema grace cascade" would drop them too.
select distinct v.oid::regclass::text as name
from pg_depend as d
join pg_rewrite as r on d.classid = 'pg_rewrite'::regclass and r.oid = d.objid
join pg_class as v on v.oid = r.ev_class
join pg_class as t on d.refclassid = 'pg_class'::regclass and t.oid = d.refobjid
where t.relnamespace = to_regnamespace('grace') and v.relnamespace <> t.relnamespace
order by name
