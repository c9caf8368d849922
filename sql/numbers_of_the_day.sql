-- What happened within 24 hours. A job that found its work done by others counts for nobody.
select
    count(*) filter (where kind = 'cancel_accepted') as cancels,
    count(*) filter (where kind = 'job_done' and detail ->> 'job' = 'void' and detail ->> 'note' is null) as voids,
    count(*) filter (where kind = 'job_done' and detail ->> 'job' = 'capture' and detail ->> 'note' is null) as captures,
    count(*) filter (where kind = 'job_done' and detail ->> 'job' = 'refund' and detail ->> 'note' is null) as refunds,
    count(*) filter (
        where kind = 'cancel_refused'
            and detail ->> 'reason' in ('completed', 'captured', 'fulfilled', 'capture_in_flight', 'grace_period_over')
    ) as refused_late
from grace.events
where at > now() - interval '24 hours'
