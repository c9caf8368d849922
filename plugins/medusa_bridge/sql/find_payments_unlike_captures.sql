-- $1 whether everything should be at rest
-- Payments whose captured_at and capture rows may disagree; what rounding explains is told apart by the caller.
-- Of a canceled order, a payment that is not captured is judged with its order.
select l.order_id, p.id, p.provider_id, p.currency_code, p.amount, p.captured_at, coalesce(s.captured, 0) as captured,
    grace.payment_intent_v1(p.id) ->> 'amount_received' as received,
    exists (
        select from grace.jobs as j where j.kind = 'capture' and j.subject = p.id and j.state = 'done'
    ) as captured_by_us
from payment as p
join order_payment_collection as l on l.payment_collection_id = p.payment_collection_id and l.deleted_at is null
join "order" as o on o.id = l.order_id and o.deleted_at is null
left join (
    select c.payment_id, sum(c.amount) as captured, max(c.updated_at) as touched_at
    from capture as c
    where c.deleted_at is null
    group by c.payment_id
) as s on s.payment_id = p.id
where p.deleted_at is null
    and case
        when p.captured_at is null then s.captured > 0 and o.status <> 'canceled' and o.canceled_at is null
        else coalesce(s.captured, 0) <> p.amount
    end
    and ($1::boolean or greatest(p.updated_at, s.touched_at) < now() - interval '1 minute')
    and not exists (
        select
        from grace.jobs as j
        where not $1::boolean and j.order_id = l.order_id and j.kind in ('capture', 'void', 'look')
            and split_part(j.subject, ':', 1) = p.id
            and (j.state in ('queued', 'running') or (j.state = 'scheduled' and j.attempts > 0))
    )
    and not exists (
        select
        from grace.incidents as i
        where i.order_id = l.order_id and i.closed_at is null
            and i.kind in ('capture_failed', 'late_money', 'look_failed')
    )
order by p.id
