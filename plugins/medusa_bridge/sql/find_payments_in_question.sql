-- $1 intent ids that Stripe was asked about
-- Payments that are not captured, or of a canceled order and not plainly voided, or that Stripe was asked about, with
-- what watches over each. Drafts and deleted orders are nobody's orders.
with asked as materialized (
    select l.order_id, o.status = 'canceled' or o.canceled_at is not null as order_canceled, p.id,
        p.payment_collection_id, p.payment_session_id, p.provider_id, p.currency_code, p.amount, p.captured_at, p.canceled_at, p.created_at,
        p.updated_at, o.version, grace.payment_intent_v1(p.id) as intent, k.payment_id is not null as is_known
    from payment as p
    join order_payment_collection as l
        on l.payment_collection_id = p.payment_collection_id and l.deleted_at is null
    join "order" as o
        on o.id = l.order_id and o.deleted_at is null and not o.is_draft_order and o.status <> 'draft'
    left join grace.payments_of_intents_v1($1::text[]) as k on k.payment_id = p.id
    where p.deleted_at is null and p.amount > 0
        and (
            p.captured_at is null or o.status = 'canceled' or o.canceled_at is not null or k.payment_id is not null
        )
)
select a.order_id, a.order_canceled, a.id, a.payment_collection_id, a.payment_session_id, a.provider_id, a.currency_code, a.amount,
    a.captured_at, a.canceled_at, a.intent ->> 'id' as intent_id, a.intent ->> 'status' as intent_status, a.created_at, c.captured, c.last_captured_at,
    r.refunded, r.refunds, r.last_refunded_at, j.capture_job, j.at_work, now() as read_at,
    greatest(a.updated_at, c.last_captured_at, r.last_refunded_at) as touched_at,
    coalesce((select array_agg(i.kind) from grace.incidents as i
        where i.order_id = a.order_id and i.closed_at is null), '{}') as incidents,
    coalesce(a.id > (select s.position from grace.cursors as s where s.name = 'payments.start'), false) as watched,
    exists (
        select
        from order_payment_collection as b
        where b.payment_collection_id = a.payment_collection_id and b.deleted_at is null and b.order_id <> a.order_id
    ) as is_shared,
    exists (
        select
        from order_payment_collection as l
        join payment as p on p.payment_collection_id = l.payment_collection_id and p.deleted_at is null
        where l.order_id = a.order_id and l.deleted_at is null and p.id <> a.id
            and (p.captured_at is not null or p.canceled_at is null)
    ) as paid_otherwise,
    -- What the order owes beyond all its holds; null where no total is known.
    greatest(
        (
            select min(coalesce(
                (s.totals -> 'raw_current_order_total' ->> 'value')::numeric,
                (s.totals ->> 'current_order_total')::numeric
            ))
            from order_summary as s
            where s.order_id = a.order_id and s.version = a.version and s.deleted_at is null
        )
        - (select coalesce(sum(t.amount), 0) from order_transaction as t
            where t.order_id = a.order_id and t.deleted_at is null)
        - (
            select coalesce(sum(p.amount), 0)
            from order_payment_collection as l
            join payment as p on p.payment_collection_id = l.payment_collection_id and p.deleted_at is null
            where l.order_id = a.order_id and l.deleted_at is null and p.captured_at is null and p.canceled_at is null
                and not exists (select from capture as c where c.payment_id = p.id and c.deleted_at is null)
        ),
        0
    ) as uncovered
from asked as a
cross join lateral (
    select coalesce(sum(c.amount), 0) as captured, max(c.created_at) as last_captured_at
    from capture as c
    where c.payment_id = a.id and c.deleted_at is null
) as c
cross join lateral (
    select coalesce(sum(r.amount), 0) as refunded, count(*) as refunds, max(r.created_at) as last_refunded_at
    from refund as r
    where r.payment_id = a.id and r.deleted_at is null
) as r
cross join lateral (
    select max(j.state) filter (where j.kind = 'capture') as capture_job,
        coalesce(array_agg(j.kind) filter (
            where j.state in ('queued', 'running')
                or (j.state = 'scheduled' and (a.order_canceled or j.attempts > 0 or j.run_at <= now()))
        ), '{}') as at_work
    from grace.jobs as j
    where j.kind in ('capture', 'void', 'refund', 'look')
        and j.order_id = any(
            array(
                select b.order_id
                from order_payment_collection as b
                where b.payment_collection_id = a.payment_collection_id and b.deleted_at is null
            )
        )
        and split_part(j.subject, ':', 1) in (a.id, a.payment_session_id)
) as j
where a.is_known or not a.order_canceled or a.canceled_at is null or c.captured <> r.refunded
    or a.intent ->> 'status' = 'requires_capture'
order by a.id
