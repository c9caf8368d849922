-- $1 order_id, $2 version
-- The sums are those of the transactions, which nobody adds to under the order's row lock: they refer to that row.
-- pending_difference moves as far as transaction_total does, as in Medusa.
update order_summary as s
set totals = s.totals || (
        select jsonb_object_agg(t.key, trim_scale(t.total))
            || jsonb_object_agg(
                'raw_' || t.key, jsonb_build_object('value', trim_scale(t.total)::text, 'precision', 20)
            )
        from (
            values ('paid_total', b.paid), ('refunded_total', b.refunded), ('transaction_total', b.paid - b.refunded),
                (
                    'pending_difference',
                    coalesce((s.totals -> 'raw_pending_difference' ->> 'value')::numeric, 0)
                    + coalesce((s.totals -> 'raw_transaction_total' ->> 'value')::numeric, 0) - b.paid + b.refunded
                )
        ) as t (key, total)
    ),
    updated_at = date_trunc('milliseconds', now())
from (
    select coalesce(sum(amount) filter (where amount > 0), 0) as paid,
        coalesce(-sum(amount) filter (where amount < 0), 0) as refunded
    from order_transaction
    where order_id = $1 and deleted_at is null
) as b
where s.order_id = $1 and s.version = $2 and s.deleted_at is null
