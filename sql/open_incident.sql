-- $1 order_id, $2 kind, $3 detail
-- What a person has settled by hand stays closed as long as nothing new is said about it.
with opened as (
    insert into grace.incidents (order_id, kind, detail)
    select $1, $2, $3
    where exists (select from grace.incidents where order_id = $1 and kind = $2 and closed_at is null)
        or not exists (select from grace.incidents where order_id = $1 and kind = $2 and settled and detail = $3)
    on conflict (order_id, kind) where closed_at is null do update set detail = excluded.detail
    returning order_id, kind, detail, xmax = 0 as is_new
)
insert into grace.events (order_id, kind, detail)
select order_id, 'incident_opened', jsonb_build_object('incident', kind, 'detail', detail)
from opened
where is_new
