-- $1 order_id, $2 version, $3 paid, $4 refunded (both positive, major units)
-- What Medusa does in JavaScript: paid_total, refunded_total, transaction_total up, pending_difference down.
update order_summary as s
set totals = s.totals || (
        select jsonb_object_agg(t.key, trim_scale(t.total))
            || jsonb_object_agg(
                'raw_' || t.key, jsonb_build_object('value', trim_scale(t.total)::text, 'precision', 20)
            )
        from (
            select d.key,
                coalesce((s.totals -> ('raw_' || d.key) ->> 'value')::numeric, (s.totals ->> d.key)::numeric, 0)
                + d.delta as total
            from (
                values ('paid_total', $3::numeric),
                    ('refunded_total', $4::numeric),
                    ('transaction_total', $3::numeric - $4::numeric),
                    ('pending_difference', $4::numeric - $3::numeric)
            ) as d (key, delta)
            where d.delta <> 0
        ) as t
    ),
    updated_at = date_trunc('milliseconds', now())
where s.order_id = $1 and s.version = $2 and s.deleted_at is null
