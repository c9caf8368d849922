-- $1 payment_collection_id, $2 decimal digits of the currency
-- The sums are those of the rows. "completed" once the rounded captures reach the rounded amount, where this
-- Medusa knows the word: the oldest 2.x leaves the status as it was.
-- Payment by payment, each by its own captures: a join may be planned to begin with all captures of the shop.
with sums as (
    select coalesce(sum(of_payment.captured), 0) as captured, coalesce(sum(of_payment.refunded), 0) as refunded
    from (
        select
            (select sum(c.amount) from capture as c where c.payment_id = p.id and c.deleted_at is null) as captured,
            (select sum(r.amount) from refund as r where r.payment_id = p.id and r.deleted_at is null) as refunded
        from payment as p
        where p.payment_collection_id = $1 and p.deleted_at is null
    ) as of_payment
)
update payment_collection as c
set captured_amount = s.captured,
    raw_captured_amount = jsonb_build_object('value', trim_scale(s.captured)::text, 'precision', 20),
    refunded_amount = s.refunded,
    raw_refunded_amount = jsonb_build_object('value', trim_scale(s.refunded)::text, 'precision', 20),
    status = case
        when round(s.captured, $2::int) >= round(c.amount, $2::int)
            and not exists (
                select
                from pg_constraint as k
                where k.conrelid = 'payment_collection'::regclass
                    and k.conname = 'payment_collection_status_check'
                    and pg_get_constraintdef(k.oid) not like '%''completed''%'
            )
            then 'completed'
        else c.status
    end,
    completed_at = case
        when round(s.captured, $2::int) >= round(c.amount, $2::int)
            then coalesce(c.completed_at, date_trunc('milliseconds', now()))
        else c.completed_at
    end,
    updated_at = date_trunc('milliseconds', now())
from sums as s
where c.id = $1
