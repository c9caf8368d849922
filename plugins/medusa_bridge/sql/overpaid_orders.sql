-- $1 last order looked at, $2 window, $3 since when money counts
-- Open orders among the next ones, by id, that more was received for than they came to when the last of it arrived, or
-- have come to since. A total that is lowered after the money came (an edit, a return) is the shop's own business.
-- A session without a payment counts with its amount: what it is exactly is read under the order's lock.
with looked_at as materialized (
    select o.id, o.currency_code,
        (
            o.deleted_at is null and not o.is_draft_order and o.status not in ('draft', 'canceled') and o.canceled_at is null
        ) is true as is_open
    from "order" as o
    where o.id > $1
    order by o.id
    limit $2
)
select max(w.id) as reached, count(*) as looked_at,
    coalesce(array_agg(w.id order by w.id) filter (where p.received is not null), '{}') as order_ids,
    coalesce(array_agg(p.received order by w.id) filter (where p.received is not null), '{}') as received,
    coalesce(array_agg(p.total order by w.id) filter (where p.received is not null), '{}') as totals,
    coalesce(array_agg(w.currency_code order by w.id) filter (where p.received is not null), '{}') as currencies
from looked_at as w
left join lateral (
    select m.received, t.total
    from (
        select sum(p.received) as received, max(p.received_at) as received_at
        from order_payment_collection as l
        cross join lateral (
            select case when q.captured_at is not null and c.amount = 0 then q.amount else c.amount end - r.amount as received,
                coalesce(c.created_at, q.captured_at) as received_at
            from payment as q
            cross join lateral (
                select coalesce(sum(c.amount), 0) as amount, max(c.created_at) as created_at
                from capture as c
                where c.payment_id = q.id and c.deleted_at is null
            ) as c
            cross join lateral (
                select coalesce(sum(r.amount), 0) as amount
                from refund as r
                where r.payment_id = q.id and r.deleted_at is null
            ) as r
            where q.payment_collection_id = l.payment_collection_id and q.deleted_at is null
            union all
            select s.amount - coalesce((s.intent ->> 'refunded')::numeric, 0), s.updated_at
            from (
                select s.amount, s.updated_at, grace.session_intent_v1(s.id) as intent
                from payment_session as s
                where s.payment_collection_id = l.payment_collection_id and s.deleted_at is null
                    and (s.provider_id ~ '^pp_stripe(-[a-z0-9-]+)?_') is true
                    and not exists (
                        select
                        from payment as q
                        where q.payment_session_id = s.id and (q.deleted_at is null) is true
                    )
                offset 0
            ) as s
            where s.intent ->> 'id' is not null
                and (s.intent ->> 'status' = 'succeeded' or s.intent ->> 'amount_received' <> '0')
            offset 0
        ) as p
        where w.is_open and l.order_id = w.id and (l.deleted_at is null) is true
    ) as m
    cross join lateral (
        select max(coalesce(
            (s.totals -> 'raw_current_order_total' ->> 'value')::numeric, (s.totals ->> 'current_order_total')::numeric
        )) as total
        from order_summary as s
        where s.order_id = w.id and s.deleted_at is null
            and s.version >= (
                select coalesce(max(v.version), 0)
                from order_summary as v
                where v.order_id = w.id and v.deleted_at is null and v.created_at <= m.received_at
            )
    ) as t
    where m.received > t.total and m.received_at >= $3
) as p on true
