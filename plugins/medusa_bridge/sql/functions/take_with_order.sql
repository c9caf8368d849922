-- lock_order_row, lock_payment_rows and take_job in one round trip; their text is put in here as it stands.
create function {name} (
    the_installation text, the_job text, the_kind text, the_order text, the_generation integer, the_lease interval
)
returns table (
    installation text, job_id text, kind text, job_order_id text, subject text, state text, generation integer,
    attempts integer, failures integer, failing_since timestamptz, key_number integer, in_doubt boolean, request_id text, traceparent text,
    late double precision
)
language plpgsql volatile security invoker
set lock_timeout = '2s'
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
{take_job};
end
$function$
