-- What record_capture writes, in one round trip: the capture that is missing, the payment, the transactions that captures
-- still lack, the summary, the collection, and what a last capture left of its hold. The text of the statements is put in here as it stands.
create function {name} (
    the_order text, the_version integer, the_payment text, the_collection text, the_digits integer,
    the_capture text, the_missing numeric, the_intent jsonb, the_last boolean
)
returns void
language plpgsql volatile security invoker
-- A plan is kept for as long as the connection: made while a table was small, it would read all of it later.
set enable_seqscan = off
set plan_cache_mode = force_generic_plan
as $function$
#variable_conflict use_column
declare
    the_unbooked record;
    the_transaction text;
    the_booked numeric := 0;
begin
    if the_missing > 0 then
{insert_capture};
    end if;
{mark_payment_captured};
    if the_intent is not null then
{record_intent};
    end if;
    for the_unbooked in
{captures_without_transaction}
    loop
        -- a ULID of the capture's moment
        the_transaction := 'ordtrx_' || substr(the_capture, length('capt_') + 1, 10)
            || upper(substr(md5(gen_random_uuid()::text), 1, 16));
{insert_order_transaction};
        the_booked := the_booked + the_unbooked.amount;
    end loop;
    if the_booked <> 0 then
{add_to_summary};
    end if;
    if the_last then
{release_rest};
    end if;
{recount_collection};
end
$function$
