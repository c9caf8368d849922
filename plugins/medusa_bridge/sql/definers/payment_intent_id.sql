-- The id in payment.data, Stripe's PaymentIntent: all that a cancel needs of it. See payment_intent.
create or replace function {name} (the_payment text)
returns text
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
-- A plan is kept for as long as the connection: made while a table was small, it would read all of it later.
set enable_seqscan = off
set plan_cache_mode = force_generic_plan
as $function$
#variable_conflict use_column
begin
    return (select p.data ->> 'id' from {shop}.payment as p where p.id = the_payment);
end
$function$
