-- $1 payment_id
-- Medusa keeps one order_transaction per capture row, of whichever order it is; the pair is told by (reference, reference_id).
select c.id, c.amount, p.currency_code
from capture as c
join payment as p on p.id = c.payment_id
where c.payment_id = $1 and c.deleted_at is null
    -- Asked capture by capture: a join with the transactions may be planned to begin with all captures of the shop.
    and (
        select t.id
        from order_transaction as t
        where t.reference = 'capture' and t.reference_id = c.id and t.deleted_at is null
        limit 1
    ) is null
