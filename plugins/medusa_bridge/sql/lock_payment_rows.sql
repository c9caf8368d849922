-- $1 order_id
-- Always the second: the rows that Medusa's own capture locks, in the order of their ids. Each by its keys, whatever
-- statistics there are.
select 1
from payment as p
where (p.deleted_at is null) is true
    and p.id = any(
        array(
            select q.id
            from order_payment_collection as l
            cross join lateral (
                select q.id
                from payment as q
                where q.payment_collection_id = l.payment_collection_id and q.deleted_at is null
                offset 0
            ) as q
            where l.order_id = $1 and (l.deleted_at is null) is true
        )
    )
order by p.id
for update of p
