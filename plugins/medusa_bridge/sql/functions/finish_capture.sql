-- What capture.record writes of a capture that went as it should, in one round trip, while the order still is as it was
-- when the job was taken. Else nothing is written: false. The text of the statements is put in here as it stands.
create function {name} (
    the_order text, the_mark text, the_installation text, the_job text, the_generation integer,
    the_version integer, the_payment text, the_collection text, the_digits integer,
    the_capture text, the_missing numeric, the_intent jsonb, the_last boolean,
    the_incident text, the_news text, the_request text, the_trace text, the_calls jsonb[], the_times timestamptz[]
)
returns boolean
language plpgsql volatile security invoker
set lock_timeout = '2s'
-- A plan is kept for as long as the connection: made while a table was small, it would read all of it later.
set enable_seqscan = off
set plan_cache_mode = force_generic_plan
as $function$
#variable_conflict use_column
declare
    the_ended bigint;
begin
    if not exists (select from {lock_order}(the_order) as o where o.mark = the_mark) then
        return false;
    end if;
{end_well}
    into the_ended;
    if the_ended is null then
        return false;
    end if;
    perform {book_capture}(
        the_order, the_version, the_payment, the_collection, the_digits,
        the_capture, the_missing, the_intent, the_last
    );
    if the_news is not null then
{schedule_jobs};
    end if;
{tell_calls};
    return true;
end
$function$
