-- What release.record writes of a release that went as it should, in one round trip. Else false: the shop is at work on an
-- item, or the job is not ours any more, and nothing is written; or something is reserved for the order all the same, and
-- the job goes on. The text of the statements is put in here as it stands.
create function {name} (
    the_order text, the_installation text, the_job text, the_generation integer,
    the_keys bigint[], the_reservations text[], the_incident text
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
    the_key bigint;
    the_ended bigint;
begin
    foreach the_key in array the_keys loop
        if not (
{try_advisory_lock}
        ) then
            return false;
        end if;
    end loop;
    perform from (
{running_job}
    ) as held;
    if not found then
        return false;
    end if;
    perform from (
{lock_levels}
    ) as levels;
{release_reservations};
    if exists (
{live_reservations}
    ) then
        return false;
    end if;
{end_well}
    into the_ended;
    return true;
end
$function$
