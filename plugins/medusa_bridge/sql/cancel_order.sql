-- $1 order_id, $2 ids of the payments that are held, $3 ids of the payment collections that live orders share
-- A requested transfer is declined as its owner would at Medusa's POST /store/orders/:id/transfer/decline.
-- canceled_at on the payments shuts Medusa's own Capture button in the same commit. A collection something
-- was captured from keeps its status: canceled with a captured amount would read "partially captured".
with canceled_order as (
    update "order"
    set status = 'canceled', canceled_at = date_trunc('milliseconds', now()),
        updated_at = date_trunc('milliseconds', now())
    where id = $1
),
canceled_payments as (
    update payment
    set canceled_at = date_trunc('milliseconds', now()), updated_at = date_trunc('milliseconds', now())
    where id = any($2::text[]) and canceled_at is null
),
declined_transfers as (
    update order_change
    set status = 'declined', declined_at = date_trunc('milliseconds', now()),
        updated_at = date_trunc('milliseconds', now())
    where order_id = $1 and deleted_at is null and status in ('pending', 'requested') and change_type = 'transfer'
)
update payment_collection as c
set status = 'canceled', updated_at = date_trunc('milliseconds', now())
where (c.deleted_at is null and c.status <> 'canceled' and coalesce(c.captured_amount, 0) = 0) is true
    and c.id <> all($3::text[])
    and c.id = any(
        array(
            select l.payment_collection_id
            from order_payment_collection as l
            where l.order_id = $1 and (l.deleted_at is null) is true
        )
    )
