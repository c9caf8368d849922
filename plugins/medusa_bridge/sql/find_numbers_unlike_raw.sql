-- Medusa reads one form of a number here and the other there. JavaScript keeps 17 digits of one and 20 of the other.
with of_payment as (
    select p.id as payment_id, l.order_id
    from payment as p
    join order_payment_collection as l
        on l.payment_collection_id = p.payment_collection_id and l.deleted_at is null
),
twins (order_id, id, name, number, raw) as (
    select o.order_id, p.id, 'amount', p.amount, p.raw_amount
    from payment as p join of_payment as o on o.payment_id = p.id where p.deleted_at is null
    union all
    select o.order_id, c.id, 'amount', c.amount, c.raw_amount
    from capture as c join of_payment as o on o.payment_id = c.payment_id where c.deleted_at is null
    union all
    select o.order_id, r.id, 'amount', r.amount, r.raw_amount
    from refund as r join of_payment as o on o.payment_id = r.payment_id where r.deleted_at is null
    union all
    select t.order_id, t.id, 'amount', t.amount, t.raw_amount from order_transaction as t where t.deleted_at is null
    union all
    select l.order_id, c.id, n.name, n.number, n.raw
    from payment_collection as c
    join order_payment_collection as l on l.payment_collection_id = c.id and l.deleted_at is null
    cross join lateral (
        values ('amount', c.amount, c.raw_amount), ('captured_amount', c.captured_amount, c.raw_captured_amount),
            ('refunded_amount', c.refunded_amount, c.raw_refunded_amount)
    ) as n (name, number, raw)
    where c.deleted_at is null
    union all
    select s.order_id, s.id, n.name, (s.totals ->> n.name)::numeric, s.totals -> ('raw_' || n.name)
    from order_summary as s
    join "order" as o on o.id = s.order_id and o.version = s.version
    cross join lateral (
        values ('paid_total'), ('refunded_total'), ('transaction_total'), ('pending_difference')
    ) as n (name)
    where s.deleted_at is null
    union all
    select i.order_id, r.id, 'quantity', r.quantity, r.raw_quantity
    from reservation_item as r
    left join (select distinct order_id, item_id from order_item) as i on i.item_id = r.line_item_id
    where r.deleted_at is null
    union all
    select null, v.id, 'reserved_quantity', v.reserved_quantity, v.raw_reserved_quantity
    from inventory_level as v where v.deleted_at is null
)
select t.order_id, format('%s.%s: %s, raw %s', t.id, t.name, trim_scale(t.number), t.raw ->> 'value') as detail
from twins as t
where t.raw is not null and jsonb_typeof(t.raw) = 'object'
    and (
        t.number is null or t.raw ->> 'value' is null
        or abs(t.number - (t.raw ->> 'value')::numeric) > 0.0001
    )
order by t.id, t.name
