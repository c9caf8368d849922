-- Captures of a canceled order that are removed or dead, of holds that other orders need: scheduled for those, under a
-- new key, since Stripe would replay its old answer.
create function grace.hand_over_captures_v1 (
    the_order text, the_captures text[], the_heirs text[], the_dues timestamptz[], the_request text, the_trace text
)
returns void
language plpgsql volatile security invoker
-- A plan is kept for as long as the connection: made while a table was small, it would read all of it later.
set enable_seqscan = off
set plan_cache_mode = force_generic_plan
as $function$
#variable_conflict use_column
begin
    update grace.jobs as j
    set order_id = n.order_id, state = 'scheduled', run_at = n.due, key_number = j.key_number + 1, request_id = the_request,
        traceparent = the_trace, updated_at = now()
    from unnest(the_captures::text[], the_heirs::text[], the_dues::timestamptz[]) as n (subject, order_id, due)
    where j.kind = 'capture' and j.subject = n.subject and (j.order_id = the_order and j.state in ('removed', 'dead')) is true;
end
$function$;

-- A cancel's compare-and-set: locks the order and its payments, and writes all of the cancel if the version tag still is
-- the one that the cancel was decided from. Else nothing is written: false.
create function grace.cancel_order_v1 (
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
    if not exists (select from grace.lock_order_v1(the_order) as o where o.mark = the_mark) then
        return false;
    end if;
    -- A requested transfer is declined as its owner would at Medusa's POST /store/orders/:id/transfer/decline.
    -- canceled_at on the payments shuts Medusa's own Capture button in the same commit. A collection something
    -- was captured from keeps its status: canceled with a captured amount would read "partially captured".
    with canceled_order as (
        update "order"
        set status = 'canceled', canceled_at = date_trunc('milliseconds', now()),
            updated_at = date_trunc('milliseconds', now())
        where id = the_order
    ),
    canceled_payments as (
        update payment
        set canceled_at = date_trunc('milliseconds', now()), updated_at = date_trunc('milliseconds', now())
        where id = any(the_held::text[]) and canceled_at is null
    ),
    declined_transfers as (
        update order_change
        set status = 'declined', declined_at = date_trunc('milliseconds', now()),
            updated_at = date_trunc('milliseconds', now())
        where order_id = the_order and deleted_at is null and status in ('pending', 'requested') and change_type = 'transfer'
    )
    update payment_collection as c
    set status = 'canceled', updated_at = date_trunc('milliseconds', now())
    where (c.deleted_at is null and c.status <> 'canceled' and coalesce(c.captured_amount, 0) = 0) is true
        and c.id <> all(the_shared::text[])
        and c.id = any(
            array(
                select l.payment_collection_id
                from order_payment_collection as l
                where l.order_id = the_order and (l.deleted_at is null) is true
            )
        );
    -- All that is ours of a cancellation, in one statement.
    with removed as (
        -- The exact removal: in the same commit as the cancellation. Whatever Redis or a worker's memory still
        -- holds, no message of these jobs finds its row in state "queued" again.
        update grace.jobs
        set state = 'removed', failures = 0, failing_since = null, updated_at = now()
        where order_id = the_order and (kind = 'capture' and state in ('scheduled', 'queued')) is true
    ),
    added as (
        insert into grace.cancellations (order_id, canceled_by, reason, request_id, canceled_at, reason_label)
        values (the_order, the_actor, the_reason, the_request, clock_timestamp(), the_label)
        on conflict (order_id) do update
        set canceled_by = excluded.canceled_by, reason = excluded.reason, request_id = excluded.request_id,
            canceled_at = excluded.canceled_at, reason_label = excluded.reason_label
        returning order_id, canceled_by, reason, reason_label, request_id, canceled_at
    ),
    told as (
        insert into grace.events (order_id, kind, request_id, actor, detail)
        select order_id, 'cancel_accepted', request_id, canceled_by, jsonb_build_object(
            'reason', coalesce(reason_label, reason), 'waited_ms', round(extract(epoch from canceled_at - now()) * 1000)
        )
        from added
    )
    -- An order can be canceled, opened and canceled again: a job that is over is done once more, under a new key, since
    -- Stripe would replay its old answer. Events are published once for each cancellation (see schedule_event).
    insert into grace.jobs as j (kind, order_id, subject, run_at, request_id, traceparent)
    select n.kind, the_order,
        case
            when n.kind = 'publish' and (
                select e.id from grace.jobs as e where e.kind = 'publish' and e.subject = n.event limit 1
            ) is null
                then n.event
            else n.subject
        end,
        now(), the_request, the_trace
    from (
        select u.kind, u.subject, split_part(u.subject, ':', 1) || ':' || split_part(u.subject, ':', 2) as event
        from unnest(the_kinds::text[], the_subjects::text[]) as u (kind, subject)
    ) as n
    on conflict on constraint jobs_one_per_subject do update
    set order_id = excluded.order_id, state = 'scheduled', run_at = now(), key_number = j.key_number + 1, request_id = excluded.request_id,
        traceparent = excluded.traceparent, updated_at = now()
    where j.kind in ('void', 'release') and j.state in ('done', 'removed', 'dead');
    if cardinality(the_captures) > 0 then
        perform grace.hand_over_captures_v1(the_order, the_captures, the_heirs, the_dues, the_request, the_trace);
    end if;
    return true;
end
$function$;

grant execute on function grace.hand_over_captures_v1, grace.cancel_order_v1 to public;
