-- What the processes need of payment.data, Stripe's PaymentIntent. The rest of it stays unread: client_secret pays.
create or replace function {name} (the_payment text)
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
            'id', p.data ->> 'id', 'status', p.data ->> 'status', 'livemode', p.data ->> 'livemode',
            'amount_received', p.data ->> 'amount_received',
            'capture_before', p.data #>> '{latest_charge,payment_method_details,card,capture_before}'
        )
        from (
            -- "||" returns the object decompressed: once, and not for each of its keys.
            select p.data::jsonb || '{}' as data
            from {shop}.payment as p
            where p.id = the_payment
            offset 0
        ) as p
    );
end
$function$
