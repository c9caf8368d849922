-- $1 channel, $2 how many, $3 lease
-- A claim pushes the next attempt beyond its lease: what a killed worker claimed is due again by itself. A resolution
-- waits until the alert that it takes back was delivered.
with due as (
    select a.id
    from grace.alerts as a
    where a.channel = $1 and a.delivered_at is null and a.next_at <= now()
        and (
            a.event = 'opened'
            or not exists (
                select
                from grace.alerts as o
                where o.incident_id = a.incident_id and o.channel = a.channel and o.event = 'opened'
                    and o.delivered_at is null
            )
        )
    order by a.next_at
    limit $2
    for update skip locked
)
update grace.alerts as a
set attempts = a.attempts + 1, next_at = now() + $3::interval
from due, grace.incidents as i
where a.id = due.id and i.id = a.incident_id
returning a.id, a.message_id, a.event, a.attempts, i.id as incident_id, i.order_id, i.kind, i.opened_at, i.closed_at
