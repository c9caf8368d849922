-- $1 order_id
select p.id, p.payment_collection_id, p.provider_id, p.currency_code, p.amount, p.captured_at, p.canceled_at,
    p.data ->> 'id' as intent_id
from payment as p
where p.deleted_at is null
    and p.payment_collection_id in (
        select l.payment_collection_id
        from order_payment_collection as l
        where l.order_id = $1 and l.deleted_at is null
    )
order by p.id
