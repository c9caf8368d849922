-- $1 order_ids, $2 when each was converted
insert into grace.conversions (order_id, converted_at)
select c.order_id, c.converted_at
from unnest($1::text[], $2::timestamptz[]) as c (order_id, converted_at)
on conflict (order_id) do nothing
