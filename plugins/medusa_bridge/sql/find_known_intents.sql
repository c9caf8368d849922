-- $1 intent ids
-- Those that a payment row names, whoever's it is: a draft's too.
select k.intent_id
from grace.payments_of_intents_v1($1::text[]) as k
join payment as p on p.id = k.payment_id
where p.deleted_at is null
