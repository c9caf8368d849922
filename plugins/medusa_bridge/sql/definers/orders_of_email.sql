-- Orders of an e-mail address among the newest, the newest first. Which addresses there are stays unread.
create or replace function {name} (the_address text, the_window integer)
returns table (order_id text)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $function$
#variable_conflict use_column
begin
    return query
    select e.id
    from (select n.id, n.email from {shop}."order" as n order by n.id desc limit the_window) as e
    where lower(e.email) = lower(the_address)
    order by e.id desc
    limit 20;
end
$function$
