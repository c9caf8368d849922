-- Given up, and no incident is open that says so, nor was one closed since.
select j.order_id, format('%s of %s: %s', j.kind, j.subject, coalesce(j.last_error, 'no reason kept')) as detail
from grace.jobs as j
where j.state = 'dead'
    and not exists (
        select
        from grace.incidents as i
        where i.order_id = j.order_id and (i.closed_at is null or i.closed_at >= j.updated_at)
            and (
                i.kind = j.kind || '_failed'
                or (
                    j.kind in ('capture', 'void', 'refund', 'look')
                    and i.kind in ('authorization_lost', 'unsupported_provider', 'late_money', 'partial_capture', 'over_captured',
                        'payment_shared')
                )
            )
    )
order by j.id
