-- $1 tables, $2 columns, in parallel
-- Those that are there and that the present role may not read.
select format('%I.%I', n.relation, n.attribute) as name
from unnest($1::text[], $2::text[]) as n (relation, attribute)
join pg_attribute as t
    on t.attrelid = to_regclass(quote_ident(n.relation)) and t.attname = n.attribute and not t.attisdropped
where not has_column_privilege(t.attrelid, t.attnum, 'select')
order by 1
