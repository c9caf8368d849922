-- $1 last order looked at, $2 window, $3 since when money counts
-- Canceled orders among the next ones, by id, that something is held or kept for, or that a session may still be paid
-- for: rows may change long after the cancel, and no index of Medusa's leads to them. Money that is older than $3 was
-- there before this sidecar, and is left to the shop; a hold whose capture waits is left to that job, unless it is of
-- another order that shares the hold: that one learns so that it is unpaid where Medusa voided the hold.
with looked_at as materialized (
    select o.id, (o.deleted_at is null and (o.status = 'canceled' or o.canceled_at is not null)) is true as is_canceled
    from "order" as o
    where o.id > $1
    order by o.id
    limit $2
)
select max(w.id) as reached, count(*) as looked_at,
    coalesce(array_agg(w.id) filter (where w.is_canceled and m.has_money), '{}') as order_ids
from looked_at as w
left join lateral (
    select true as has_money
    from order_payment_collection as l
    cross join lateral (
        select p.id
        from payment as p
        where p.payment_collection_id = l.payment_collection_id and p.deleted_at is null and p.amount > 0
            and (
                (
                    p.captured_at is null and p.created_at >= $3
                    and coalesce(
                        (
                            select j.order_id <> l.order_id
                            from grace.jobs as j
                            where j.kind = 'capture' and j.subject = p.id
                                and (j.state in ('scheduled', 'queued', 'running')) is true
                            limit 1
                        ),
                        p.canceled_at is null
                    )
                )
                or (
                    greatest(
                        case when p.captured_at is not null then p.amount else 0 end,
                        (
                            select coalesce(sum(c.amount), 0)
                            from capture as c
                            where c.payment_id = p.id and c.deleted_at is null
                        )
                    ) > (
                        select coalesce(sum(r.amount), 0)
                        from refund as r
                        where r.payment_id = p.id and r.deleted_at is null
                    )
                    and p.updated_at >= $3
                )
            )
        union all
        select s.id
        from (
            select s.id, s.amount, grace.session_intent_v1(s.id) as intent
            from payment_session as s
            where s.payment_collection_id = l.payment_collection_id and s.deleted_at is null and s.created_at >= $3
                and (s.provider_id ~ '^pp_stripe(-[a-z0-9-]+)?_') is true
                and not exists (
                    select
                    from payment as q
                    where q.payment_session_id = s.id and (q.deleted_at is null) is true
                )
            offset 0
        ) as s
        where s.intent ->> 'id' is not null
            and (s.intent ->> 'status' is distinct from 'canceled' or s.intent ->> 'amount_received' <> '0')
            and coalesce((s.intent ->> 'refunded')::numeric, 0) < s.amount
        offset 0
    ) as p
    where w.is_canceled and l.order_id = w.id and (l.deleted_at is null) is true
    limit 1
) as m on true
