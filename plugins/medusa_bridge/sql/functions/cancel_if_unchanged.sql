-- A cancel's compare-and-set: locks the order and its payments, and writes all of the cancel if the version tag still is
-- the one that the cancel was decided from. Else nothing is written: false. The text of the statements is put in here.
create function {name} (
    the_order text, the_mark text, the_held text[], the_shared text[], the_actor text, the_reason text,
    the_request text, the_label text, the_kinds text[], the_subjects text[], the_trace text,
    the_captures text[], the_heirs text[], the_dues timestamptz[]
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
{cancel_order};
{write_cancellation};
    if cardinality(the_captures) > 0 then
{hand_over_captures};
    end if;
    return true;
end
$function$
