-- worked_on: a job of the incident's own kind is not done yet.
select i.order_id, i.kind, i.detail,
    exists (
        select
        from grace.jobs as j
        where j.order_id = i.order_id and i.kind = j.kind || '_failed'
            and j.state in ('scheduled', 'queued', 'running', 'dead')
    ) as worked_on
from grace.incidents as i
where i.closed_at is null
order by i.id
