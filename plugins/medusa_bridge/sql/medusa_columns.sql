-- $1 tables. Those columns of theirs that are there, by the catalogue: anybody may read it.
select named.name as table, a.attname::text as column
from unnest($1::text[]) as named (name)
join pg_attribute as a on a.attrelid = to_regclass(quote_ident(named.name))
where a.attnum > 0 and not a.attisdropped
