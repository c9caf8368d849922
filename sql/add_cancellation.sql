-- $1 order_id, $2 canceled_by, $3 reason, $4 request_id, $5 canceled_at, $6 reason_label
with added as (
    insert into grace.cancellations (order_id, canceled_by, reason, request_id, canceled_at, reason_label)
    values ($1, $2, $3, $4, $5, $6)
    on conflict (order_id) do update
    set canceled_by = excluded.canceled_by, reason = excluded.reason, request_id = excluded.request_id,
        canceled_at = excluded.canceled_at, reason_label = excluded.reason_label
    returning order_id, canceled_by, reason, request_id, canceled_at
)
insert into grace.events (order_id, kind, request_id, actor, detail)
select order_id, 'cancel_accepted', request_id, canceled_by, jsonb_build_object(
    'reason', reason, 'waited_ms', round(extract(epoch from canceled_at - now()) * 1000)
)
from added
