-- $1 channels, $2 order_id, or null for every order
-- In one statement, so that an incident is marked if and only if its alerts are there.
with new as (
    select id
    from grace.incidents
    where alerted_at is null and ($2::text is null or order_id = $2)
    order by id
    limit 100
    for update skip locked
),
marked as (
    update grace.incidents as i set alerted_at = now() from new where i.id = new.id returning i.id
)
insert into grace.alerts (incident_id, event, channel)
select m.id, 'opened', c.name
from marked as m
cross join unnest($1::text[]) as c (name)
on conflict do nothing
