-- $1 id, $2 order_id, $3 version, $4 amount (negative for a refund), $5 currency_code, $6 reference, $7 reference_id
insert into order_transaction (
    id, order_id, version, amount, raw_amount, currency_code, reference, reference_id, created_at, updated_at
)
values (
    $1, $2, $3, $4::numeric, jsonb_build_object('value', trim_scale($4::numeric)::text, 'precision', 20), $5, $6, $7,
    date_trunc('milliseconds', now()), date_trunc('milliseconds', now())
)
