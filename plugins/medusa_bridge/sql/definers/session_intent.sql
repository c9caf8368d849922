-- What the processes need of payment_session.data, Stripe's PaymentIntent, and of payment_session.metadata: what this
-- sidecar refunded. The rest stays unread: client_secret pays, and metadata is the shop's own.
create or replace function {name} (the_session text)
returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
-- A plan is kept for as long as the connection: made while a table was small, it would read all of it later.
set enable_seqscan = off
set plan_cache_mode = force_generic_plan
as $function$
#variable_conflict use_column
begin
    return (
        select jsonb_build_object(
            'id', s.data ->> 'id', 'status', s.data ->> 'status', 'currency', s.data ->> 'currency',
            'amount_received', s.data ->> 'amount_received', 'refunded', s.metadata ->> 'grace_refunded'
        )
        from (
            -- "||" returns the object decompressed: once, and not for each of its keys.
            select s.data::jsonb || '{}' as data, s.metadata
            from {shop}.payment_session as s
            where s.id = the_session
            offset 0
        ) as s
    );
end
$function$
