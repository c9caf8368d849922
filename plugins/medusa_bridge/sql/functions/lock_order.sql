-- lock_order_row, lock_payment_rows and order_facts in one round trip; their text is put in here as it stands.
-- VOLATILE: under READ COMMITTED each statement of the body takes a snapshot of its own, so that what is read last is
-- read after the locks were had. Inside the statement that waited for a lock it would be as old as the wait.
create function {name} (text)
returns table (
    order_id text, status text, order_canceled_at timestamptz, version integer, customer_id text, placed_at timestamptz,
    order_currency text, total numeric, booked numeric, read_at timestamptz, live_fulfillments bigint, open_changes bigint,
    handed_over_at timestamptz,
    id text, payment_collection_id text, payment_session_id text, provider_id text, currency_code text, amount numeric,
    captured_at timestamptz, canceled_at timestamptz, intent_id text,
    captured numeric, unbooked numeric, last_captured_at timestamptz, refunded numeric, last_refunded_at timestamptz,
    is_capturing boolean, collection_canceled boolean, sessions text, payment_known boolean, linked text,
    money_in_cart boolean, captures_in_flight text,
    mark text
)
language plpgsql volatile security invoker
-- A plan is kept for as long as the connection: made while a table was small, it would read all of it later.
set enable_seqscan = off
set plan_cache_mode = force_generic_plan
as $function$
#variable_conflict use_column
begin
    perform from (
{lock_order_row}
    ) as locked_order;
    perform from (
{lock_payment_rows}
    ) as locked_payments;
    return query
{order_facts};
end
$function$
