-- $1 token, $2 order_id
-- One row at least. The order is read only for a valid key.
select k.is_valid, o.*
from (select grace.is_publishable_key_v1($1) as is_valid offset 0) as k
left join lateral (
    select r.*
    from grace.read_order_v1($2) as r
    where k.is_valid and $2::text is not null
) as o on true
