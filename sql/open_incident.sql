-- $1 order_id, $2 kind, $3 detail
insert into grace.incidents (order_id, kind, detail)
values ($1, $2, $3)
on conflict (order_id, kind) where closed_at is null do update set detail = excluded.detail
