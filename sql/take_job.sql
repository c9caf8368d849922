-- $1 id, $2 generation, $3 lease
-- The compare-and-set that turns a message into work. In doubt from here on, until an outcome is recorded;
-- the answer tells whether it was in doubt before. What the transaction has waited until here, it waited for locks.
-- By the key first, the state afterwards: in a rush the index of queued rows is full of dead ones.
with found as (
    select id, generation, state, in_doubt
    from grace.jobs
    where id = $1
    for update
),
before as (
    select id, in_doubt
    from found
    where generation = $2 and state = 'queued'
),
taken as (
    update grace.jobs as j
    set state = 'running', attempts = j.attempts + 1, lease_until = now() + $3::interval, in_doubt = true,
        updated_at = now()
    from before
    where j.id = before.id
    returning j.id, j.kind, j.order_id, j.subject, j.state, j.generation, j.attempts, j.failures, j.failing_since,
        j.key_number, before.in_doubt, j.request_id, j.traceparent,
        extract(epoch from clock_timestamp() - least(j.run_at, j.failing_since))::float8 as late
),
told as (
    insert into grace.events (order_id, kind, job_id, request_id, detail)
    select t.order_id, 'job_claimed', t.id, t.request_id, jsonb_build_object(
        'job', t.kind, 'subject', t.subject, 'attempt', t.attempts, 'in_doubt', t.in_doubt,
        'waited_ms', round(extract(epoch from clock_timestamp() - now()) * 1000)
    )
    from taken as t
)
select id, kind, order_id, subject, state, generation, attempts, failures, failing_since, key_number, in_doubt,
    request_id, traceparent, late
from taken
