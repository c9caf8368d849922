-- $1 installation, $2 id, $3 kind, $4 order_id, $5 generation, $6 lease
-- For an attempt that calls Stripe once more after it has recorded an answer.
update grace.jobs
set lease_until = now() + $6::interval, updated_at = now()
where ulid = $2 and kind = $3 and order_id = $4 and generation = $5 and state = 'running'
    and exists (select from grace.installation as i where i.id = $1)
