-- $1 intent ids
-- Those that a payment row names, whoever's it is: a draft's too.
select p.data ->> 'id' as intent_id
from payment as p
where p.deleted_at is null and p.data ->> 'id' = any($1::text[])
