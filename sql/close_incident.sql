-- $1 order_id, $2 kind
-- The trouble is over: what was settled by hand before excuses no trouble to come.
with over as (
    update grace.incidents
    set closed_at = coalesce(closed_at, now()), settled = false
    where order_id = $1 and kind = $2 and (closed_at is null or settled)
    returning order_id, kind, closed_by
)
insert into grace.events (order_id, kind, detail)
select order_id, 'incident_closed', jsonb_build_object('incident', kind)
from over
where closed_by is null
