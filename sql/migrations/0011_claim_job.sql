-- Claim a queued job if its row is the one that the message names: a compare-and-set. The order and its payments are
-- locked first where the_locks says so. From here on the job is in doubt until an outcome is recorded; the answer tells
-- whether it was in doubt before. "waited_ms" is the time since the transaction began: it was spent waiting for locks.
-- The row is found by its key, and the rest compared afterwards: the index of queued rows is full of dead ones when many
-- jobs are due.
create function grace.claim_job_v1 (
    the_installation text, the_job text, the_kind text, the_order text, the_generation integer, the_lease interval,
    the_locks boolean
)
returns table (
    installation text, job_id text, kind text, job_order_id text, subject text, state text, generation integer,
    attempts integer, failures integer, failing_since timestamptz, key_number integer, in_doubt boolean, request_id text,
    traceparent text, late double precision
)
language plpgsql volatile security invoker
set lock_timeout = '2s'
-- A plan is kept for as long as the connection: made while a table was small, it would read all of it later.
set enable_seqscan = off
set plan_cache_mode = force_generic_plan
as $function$
#variable_conflict use_column
begin
    if the_locks then
        perform grace.lock_order_rows_v1(the_order);
    end if;
    return query
    with found as (
        select id, kind, order_id, generation, state, in_doubt, postponed_since
        from grace.jobs
        where ulid = the_job
        for update
    ),
    before as (
        select id, in_doubt, postponed_since
        from found
        where kind = the_kind and order_id = the_order and generation = the_generation and state = 'queued'
            and exists (select from grace.installation as i where i.id = the_installation)
    ),
    taken as (
        update grace.jobs as j
        set state = 'running', attempts = j.attempts + 1, lease_until = now() + the_lease::interval, in_doubt = true,
            postponed_since = null, updated_at = now()
        from before
        where j.id = before.id
        returning j.id, j.ulid, j.kind, j.order_id, j.subject, j.state, j.generation, j.attempts, j.failures,
            j.failing_since, j.key_number, before.in_doubt, j.request_id, j.traceparent,
            extract(
                epoch from clock_timestamp() - least(j.run_at, j.failing_since, before.postponed_since)
            )::float8 as late
    ),
    told as (
        insert into grace.events (order_id, kind, job_id, request_id, detail)
        select t.order_id, 'job_claimed', t.id, t.request_id, jsonb_build_object(
            'job', t.kind, 'subject', t.subject, 'attempt', t.attempts, 'in_doubt', t.in_doubt,
            'waited_ms', round(extract(epoch from clock_timestamp() - now()) * 1000)
        )
        from taken as t
    )
    select the_installation::text as installation, ulid as id, kind, order_id, subject, state, generation, attempts,
        failures, failing_since, key_number, in_doubt, request_id, traceparent, late
    from taken;
end
$function$;

grant execute on function grace.claim_job_v1 to public;
