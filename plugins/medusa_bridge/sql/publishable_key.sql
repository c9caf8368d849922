-- $1 token
-- The oldest 2.x has no deleted_at: there the name is that of the outer "absent". A whole row would ask for the right to
-- read the salts of secret keys.
select 1
from (values (null::timestamptz)) as absent (deleted_at)
cross join lateral (
    select deleted_at
    from api_key as k
    where k.token = $1 and k.type = 'publishable' and (k.revoked_at is null or k.revoked_at > now())
) as k
where k.deleted_at is null
