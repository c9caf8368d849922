-- What a cancel writes, in one round trip, while the order still is as it was when the cancel was decided and none of its
-- captures has begun. Else nothing is written: false. The text of the statements is put in here as it stands.
create function {name} (
    the_order text, the_mark text, the_held text[], the_actor text, the_reason text, the_request text, the_label text,
    the_kinds text[], the_subjects text[], the_trace text
)
returns boolean
language plpgsql volatile security invoker
set lock_timeout = '2s'
-- A plan is kept for as long as the connection: made while a table was small, it would read all of it later.
set enable_seqscan = off
set plan_cache_mode = force_generic_plan
as $function$
#variable_conflict use_column
begin
    if not exists (select from {lock_order}(the_order) as o where o.mark = the_mark) then
        return false;
    end if;
    if exists (
{begun_capture}
    ) then
        return false;
    end if;
{cancel_order};
{write_cancellation};
    return true;
end
$function$
