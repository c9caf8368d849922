-- $1 whether everything should be at rest
-- Open orders that owe money although no payment and no payment session is linked to them: a cancel refuses them. A
-- checkout has a few minutes to link its payment.
select o.id as order_id,
    format(
        'owes %s %s, and no payment is linked to it%s', trim_scale(t.owed), upper(o.currency_code),
        (
            select ': its cart leads to ' || string_agg(p.id, ', ' order by p.id)
            from order_cart as k
            join cart_payment_collection as c on c.cart_id = k.cart_id and c.deleted_at is null
            join payment as p on p.payment_collection_id = c.payment_collection_id and p.deleted_at is null
            where k.order_id = o.id and k.deleted_at is null and (p.canceled_at is null or p.captured_at is not null)
        )
    ) as detail
from "order" as o
cross join lateral (
    select min(coalesce(
            (s.totals #>> '{raw_current_order_total,value}')::numeric, (s.totals ->> 'current_order_total')::numeric
        )) - coalesce((
            select sum(t.amount)
            from order_transaction as t
            where t.order_id = o.id and t.deleted_at is null
        ), 0) as owed
    from order_summary as s
    where s.order_id = o.id and s.version = o.version and s.deleted_at is null
) as t
where o.deleted_at is null and not o.is_draft_order and o.status in ('pending', 'requires_action')
    and o.canceled_at is null and ($1::boolean or o.created_at < now() - interval '5 minutes')
    and t.owed >= case
        when upper(o.currency_code) in ('BHD', 'IQD', 'JOD', 'KWD', 'OMR', 'TND') then 0.0005
        when upper(o.currency_code) in ('BIF', 'CLP', 'DJF', 'GNF', 'JPY', 'KMF', 'KRW', 'MGA', 'PYG', 'RWF', 'UGX', 'VND',
            'VUV', 'XAF', 'XOF', 'XPF') then 0.5
        else 0.005
    end
    and not exists (
        select
        from order_payment_collection as l
        where l.order_id = o.id and l.deleted_at is null
            and (
                exists (
                    select
                    from payment as p
                    where p.payment_collection_id = l.payment_collection_id and p.deleted_at is null
                )
                or exists (
                    select
                    from payment_session as s
                    where s.payment_collection_id = l.payment_collection_id and s.deleted_at is null
                )
            )
    )
order by o.id
