-- $1 installation, $2 id, $3 kind, $4 order_id, $5 generation, $6 note, $7 incident that its failures opened
-- Done; and the incident is over, unless another job of the order and kind still fails. What was settled by hand before
-- excuses no trouble to come.
with ended as (
    update grace.jobs
    set state = 'done', lease_until = null, in_doubt = false, failures = 0, failing_since = null,
        last_error = coalesce($6, last_error), updated_at = now()
    where ulid = $2 and kind = $3 and order_id = $4 and generation = $5 and state = 'running'
        and exists (select from grace.installation as i where i.id = $1)
    returning id, order_id, kind, subject
),
over as (
    update grace.incidents as i
    set closed_at = coalesce(i.closed_at, now()), settled = false
    from ended as e
    where i.order_id = e.order_id and i.kind = $7 and (i.closed_at is null or i.settled)
        and (
            select o.id
            from grace.jobs as o
            where o.order_id = e.order_id and (o.kind = e.kind) is true and o.id <> e.id and o.failures > 0
            limit 1
        ) is null
    returning i.order_id, i.kind, i.closed_by
),
told as (
    insert into grace.events (order_id, kind, job_id, detail)
    select order_id, 'job_done', id, jsonb_build_object('job', kind, 'subject', subject, 'note', $6::text)
    from ended
    union all
    select order_id, 'incident_closed', null, jsonb_build_object('incident', kind)
    from over
    where closed_by is null
)
select id
from ended
