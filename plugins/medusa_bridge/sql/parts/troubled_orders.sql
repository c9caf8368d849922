select order_id from grace.jobs where state = 'scheduled' and kind in ('void', 'refund')
    union
    select order_id from grace.jobs where state = 'queued' and kind in ('void', 'refund')
    union
    select order_id from grace.jobs where state = 'running' and kind in ('void', 'refund')
    union
    select order_id from grace.jobs where state = 'scheduled' and kind = 'capture' and run_at < now() - $1::interval
    union
    select order_id from grace.jobs where state = 'queued' and kind = 'capture' and run_at < now() - $1::interval
    union
    select order_id from grace.jobs where state = 'running' and kind = 'capture' and run_at < now() - $1::interval
    union
    select order_id from grace.incidents
    where closed_at is null
        and kind in ('void_failed', 'late_money', 'refund_failed', 'capture_failed', 'unsupported_provider')
