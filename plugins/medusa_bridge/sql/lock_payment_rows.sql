-- $1 order_id
-- Always the second: the rows that Medusa's own capture locks, in the order of their ids.
select 1
from payment as p
where p.deleted_at is null
    and p.payment_collection_id in (
        select l.payment_collection_id
        from order_payment_collection as l
        where l.order_id = $1 and l.deleted_at is null
    )
order by p.id
for update of p
