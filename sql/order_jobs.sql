-- $1 order_id, $2 kind
select (select i.id from grace.installation as i) as installation, coalesce(ulid, '') as id, kind, order_id, subject, state,
    generation, attempts, failures, failing_since, in_doubt, key_number,
    case when state in ('done', 'removed', 'dead') then updated_at end as ended_at
from grace.jobs
where order_id = $1 and (kind = $2) is true
order by id
