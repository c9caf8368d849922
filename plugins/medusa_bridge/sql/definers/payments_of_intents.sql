-- Payments of PaymentIntents, read in one scan: payment.data has no index to find an intent by.
create or replace function {name} (the_intents text[])
returns table (payment_id text, intent_id text)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $function$
#variable_conflict use_column
begin
    return query
    select p.id, p.data ->> 'id'
    from {shop}.payment as p
    where p.data ->> 'id' = any(the_intents);
end
$function$
