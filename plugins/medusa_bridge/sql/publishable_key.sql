-- $1 token
-- deleted_at is read in a roundabout way because the oldest 2.x has no such column.
select 1
from api_key as k
where k.token = $1 and k.type = 'publishable' and (k.revoked_at is null or k.revoked_at > now())
    and to_jsonb(k) ->> 'deleted_at' is null
