-- $1 order_id, $2 payment_id
-- Where the rows around a captured payment do not say what the capture, the refunds and the order transactions say.
select p.canceled_at is not null as is_closed,
    abs(coalesce(c.captured_amount, 0) - s.captured) > 0.0001
        or abs(coalesce(c.refunded_amount, 0) - s.refunded) > 0.0001 as collection_differs,
    exists (
        select
        from "order" as o
        join order_summary as m on m.order_id = o.id and m.version = o.version and m.deleted_at is null
        cross join lateral (
            select coalesce(sum(t.amount) filter (where t.amount > 0), 0) as paid,
                coalesce(-sum(t.amount) filter (where t.amount < 0), 0) as refunded
            from order_transaction as t
            where t.order_id = o.id and t.deleted_at is null
        ) as b
        where o.id = $1
            and (
                abs(coalesce((m.totals -> 'raw_paid_total' ->> 'value')::numeric, 0) - b.paid) > 0.0001
                or abs(coalesce((m.totals -> 'raw_refunded_total' ->> 'value')::numeric, 0) - b.refunded) > 0.0001
                or abs(
                    coalesce((m.totals -> 'raw_transaction_total' ->> 'value')::numeric, 0) - b.paid + b.refunded
                ) > 0.0001
            )
    ) as summary_differs
from payment as p
join payment_collection as c on c.id = p.payment_collection_id
cross join lateral (
    select
        coalesce((
            select sum(x.amount)
            from capture as x
            join payment as y on y.id = x.payment_id
            where y.payment_collection_id = c.id and x.deleted_at is null and y.deleted_at is null
        ), 0) as captured,
        coalesce((
            select sum(x.amount)
            from refund as x
            join payment as y on y.id = x.payment_id
            where y.payment_collection_id = c.id and x.deleted_at is null and y.deleted_at is null
        ), 0) as refunded
) as s
where p.id = $2
