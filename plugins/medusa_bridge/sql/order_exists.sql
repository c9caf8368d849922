-- $1 order_id
-- A draft too.
select exists (select from "order" as q where q.id = $1 and (q.deleted_at is null) is true)
