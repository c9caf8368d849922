-- $1 order_id, $2 kind, $3 token of the form, $4 actor, $5 detail
-- No row comes back when this very form was sent before.
insert into grace.events (order_id, kind, request_id, actor, detail)
values ($1, $2, $3, $4, $5)
on conflict (request_id) where kind in ('act_retry', 'act_refund', 'act_settle') do nothing
returning id
