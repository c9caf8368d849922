-- $1 channels, $2 order_id, or null for every order
-- To the channels that were told of the incident.
with over as (
    select id
    from grace.incidents
    where closed_at is not null and resolution_alerted_at is null and alerted_at is not null
        and ($2::text is null or order_id = $2)
    order by id
    limit 100
    for update skip locked
),
marked as (
    update grace.incidents as i set resolution_alerted_at = now() from over where i.id = over.id returning i.id
)
insert into grace.alerts (incident_id, event, channel)
select m.id, 'resolved', a.channel
from marked as m
join grace.alerts as a on a.incident_id = m.id and a.event = 'opened' and a.channel = any($1::text[])
on conflict do nothing
