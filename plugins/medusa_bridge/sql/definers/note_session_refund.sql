-- Note in a payment session's metadata what was refunded of it, and leave unread what else the shop keeps there.
create or replace function {name} (the_session text, the_refunded numeric)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set plan_cache_mode = force_generic_plan
as $function$
#variable_conflict use_column
begin
    update {shop}.payment_session as s
    set metadata = coalesce(s.metadata, '{}') || jsonb_build_object('grace_refunded', the_refunded::text)
    where s.id = the_session and s.deleted_at is null
        and (the_refunded > 0 or s.metadata ->> 'grace_refunded' is not null);
end
$function$
