-- $1 payment_collection_id, $2 payment_id, $3 decimal digits of the currency
-- What a final capture left of an authorization was released by Stripe: the collection asks for so much less. As it was,
-- Medusa would show it partially captured, and cancel it with the next order edit.
update payment_collection as c
set amount = c.amount - r.rest,
    raw_amount = jsonb_build_object('value', trim_scale(c.amount - r.rest)::text, 'precision', 20),
    updated_at = date_trunc('milliseconds', now())
from (
    select p.amount - coalesce(
        (select sum(k.amount) from capture as k where k.payment_id = p.id and k.deleted_at is null), 0
    ) as rest
    from payment as p
    where p.id = $2
) as r
where c.id = $1 and round(r.rest, $3::int) > 0
