-- Columns that our statements look rows up by. Without an index each look reads a whole table.
with wanted (relation, column_name) as (
    values ('order', 'id'), ('order_item', 'order_id'), ('order_item', 'item_id'),
        ('order_line_item_tax_line', 'item_id'), ('order_change', 'order_id'),
        ('order_change_action', 'order_change_id'),
        ('order_transaction', 'order_id'), ('order_summary', 'order_id'), ('order_payment_collection', 'order_id'),
        ('order_payment_collection', 'payment_collection_id'), ('order_fulfillment', 'order_id'),
        ('fulfillment', 'id'), ('payment', 'id'), ('payment', 'payment_collection_id'),
        ('payment', 'payment_session_id'), ('payment_session', 'id'),
        ('payment_session', 'payment_collection_id'), ('order_cart', 'order_id'), ('order_cart', 'cart_id'),
        ('cart_payment_collection', 'cart_id'), ('cart_payment_collection', 'payment_collection_id'), ('payment_collection', 'id'), ('capture', 'payment_id'),
        ('refund', 'payment_id'), ('reservation_item', 'id'), ('reservation_item', 'line_item_id'),
        ('inventory_level', 'inventory_item_id'), ('api_key', 'token')
)
select null as order_id, format('%s (%s)', w.relation, w.column_name) as detail
from wanted as w
where to_regclass(quote_ident(w.relation)) is not null
    and not exists (
        select
        from pg_index as x
        join pg_attribute as a on a.attrelid = x.indrelid and a.attnum = x.indkey[0]
        where x.indrelid = to_regclass(quote_ident(w.relation)) and a.attname = w.column_name
            and x.indisvalid and x.indisready
            and (x.indpred is null or pg_get_expr(x.indpred, x.indrelid) = '(deleted_at IS NULL)')
    )
order by detail
