-- Whether the action of an order change gives the order another e-mail address, other than in case. The details of other
-- actions stay unread: that of a requested transfer has the token which accepts it.
create or replace function {name} (the_action text)
returns boolean
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
-- A plan is kept for as long as the connection: made while a table was small, it would read all of it later.
set enable_seqscan = off
set plan_cache_mode = force_generic_plan
as $function$
#variable_conflict use_column
begin
    return (
        select a.details ->> 'type' = 'email'
            and lower(a.details ->> 'old') is distinct from lower(a.details ->> 'new')
        from {shop}.order_change_action as a
        where a.id = the_action
    ) is true;
end
$function$
