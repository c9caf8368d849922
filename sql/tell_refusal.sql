-- $1 order_id, $2 request_id, $3 actor, $4 reason
-- Once a minute for the same reason: who asks without end fills no table.
insert into grace.events (order_id, kind, request_id, actor, detail)
select $1, 'cancel_refused', $2, $3, jsonb_build_object('reason', $4::text)
where not exists (
    select
    from grace.events
    where order_id = $1 and kind = 'cancel_refused' and detail ->> 'reason' = $4 and at > now() - interval '1 minute'
)
