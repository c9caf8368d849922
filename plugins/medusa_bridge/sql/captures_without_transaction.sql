-- $1 order_id, $2 payment_id
-- Medusa keeps one order_transaction per capture row; the pair is told by (order, reference, reference_id).
select c.id, c.amount, p.currency_code
from capture as c
join payment as p on p.id = c.payment_id
where c.payment_id = $2 and c.deleted_at is null
    and not exists (
        select from order_transaction as t
        where t.order_id = $1 and t.reference = 'capture' and t.reference_id = c.id and t.deleted_at is null
    )
