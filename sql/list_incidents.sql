-- $1 order_id or null for all, $2 open ones, else those that closed within a week, $3 how many, $4 kind or null for all
-- With the job that works on it, if there is one: the one that fails first.
select i.id, i.order_id, i.kind, i.detail, i.opened_at, i.closed_at, i.closed_by, i.note,
    j.state as job_state, j.last_error, j.run_at, j.attempts,
    exists (
        select
        from grace.jobs as r
        where r.order_id = i.order_id and (r.kind = 'refund' and r.state in ('scheduled', 'queued', 'running')) is true
    ) as refund_on_its_way
from grace.incidents as i
left join lateral (
    select j.state, j.last_error, j.run_at, j.attempts
    from grace.jobs as j
    where j.order_id = i.order_id and j.kind || '_failed' = i.kind
        and j.state in ('scheduled', 'queued', 'running', 'dead')
    order by j.failures desc, j.id
    limit 1
) as j on i.closed_at is null
where ($1::text is null or i.order_id = $1) and ($4::text is null or i.kind = $4)
    and case when $2 then i.closed_at is null else i.closed_at > now() - interval '7 days' end
order by coalesce(i.closed_at, i.opened_at) desc
limit $3
