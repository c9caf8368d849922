-- What must be over before schema grace is removed: voids, refunds, releases, events and comparisons that are not done,
-- captures that may have reached Stripe, and open incidents. ends_soon: a worker has it, or would take it now.
select order_id, format('%s of %s is %s', kind, subject, state) || coalesce(': ' || last_error, '') as detail,
    state in ('queued', 'running') or run_at <= now() as ends_soon
from grace.jobs
where state in ('scheduled', 'queued', 'running') and (kind <> 'capture' or state = 'running' or in_doubt)
union all
select order_id, format('incident %s: %s', kind, detail), false
from grace.incidents
where closed_at is null
order by order_id, detail
