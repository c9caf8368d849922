-- $1 id, $2 amount, $3 payment_id
insert into capture (id, amount, raw_amount, payment_id, created_at, updated_at)
values (
    $1, $2::numeric, jsonb_build_object('value', trim_scale($2::numeric)::text, 'precision', 20), $3,
    date_trunc('milliseconds', now()), date_trunc('milliseconds', now())
)
