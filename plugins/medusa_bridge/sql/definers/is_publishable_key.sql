-- Whether the token is a publishable key that is valid. Tokens of secret keys, hashed, are in the same column.
-- The oldest 2.x has no deleted_at: there the name is that of the outer "absent".
create or replace function {name} (the_token text)
returns boolean
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
-- A plan is kept for as long as the connection: made while a table was small, it would read all of it later.
set enable_seqscan = off
set plan_cache_mode = force_generic_plan
as $function$
#variable_conflict use_column
begin
    return exists (
        select
        from (values (null::timestamptz)) as absent (deleted_at)
        cross join lateral (
            select deleted_at
            from {shop}.api_key as k
            where k.token = the_token and k.type = 'publishable' and (k.revoked_at is null or k.revoked_at > now())
        ) as k
        where k.deleted_at is null
    );
end
$function$
