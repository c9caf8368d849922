-- $1 tables, $2 privileges, $3 columns, $4 functions that need each, in parallel
-- Columns that are not there, those that the present role lacks the privilege for (none is asked where none is named), and
-- those of definers that should be JSON and are not.
select format('%I.%I', n.relation, n.attribute) as name, n.used_by,
    case
        when t.attnum is null then 'does not exist'
        when n.privilege = '' then format('is of type %s: expected jsonb', format_type(t.atttypid, null))
        else format('permission denied to %s it', n.privilege)
    end as reason
from unnest($1::text[], $2::text[], $3::text[], $4::text[]) as n (relation, privilege, attribute, used_by)
left join pg_attribute as t
    on t.attrelid = to_regclass(quote_ident(n.relation)) and t.attname = n.attribute and not t.attisdropped
where case
        when t.attnum is null then true
        when n.privilege = ''
            then n.attribute in ('data', 'details', 'metadata')
                and t.atttypid not in ('json'::regtype, 'jsonb'::regtype)
        else not has_column_privilege(t.attrelid, t.attnum, n.privilege)
    end
order by 1, 3
