-- $1 installation, $2 id, $3 kind, $4 order_id, $5 generation, $6 lease
-- The compare-and-set that turns a message into work. In doubt from here on, until an outcome is recorded;
-- the answer tells whether it was in doubt before. What the transaction has waited until here, it waited for locks.
-- By the key first, the rest afterwards: in a rush the index of queued rows is full of dead ones.
with found as (
    select id, kind, order_id, generation, state, in_doubt, postponed_since
    from grace.jobs
    where ulid = $2
    for update
),
before as (
    select id, in_doubt, postponed_since
    from found
    where kind = $3 and order_id = $4 and generation = $5 and state = 'queued'
        and exists (select from grace.installation as i where i.id = $1)
),
taken as (
    update grace.jobs as j
    set state = 'running', attempts = j.attempts + 1, lease_until = now() + $6::interval, in_doubt = true,
        postponed_since = null, updated_at = now()
    from before
    where j.id = before.id
    returning j.id, j.ulid, j.kind, j.order_id, j.subject, j.state, j.generation, j.attempts, j.failures,
        j.failing_since, j.key_number, before.in_doubt, j.request_id, j.traceparent,
        extract(
            epoch from clock_timestamp() - least(j.run_at, j.failing_since, before.postponed_since)
        )::float8 as late
),
told as (
    insert into grace.events (order_id, kind, job_id, request_id, detail)
    select t.order_id, 'job_claimed', t.id, t.request_id, jsonb_build_object(
        'job', t.kind, 'subject', t.subject, 'attempt', t.attempts, 'in_doubt', t.in_doubt,
        'waited_ms', round(extract(epoch from clock_timestamp() - now()) * 1000)
    )
    from taken as t
)
select $1::text as installation, ulid as id, kind, order_id, subject, state, generation, attempts, failures,
    failing_since, key_number, in_doubt, request_id, traceparent, late
from taken
