-- $1 age after which a queued message is taken for lost
-- Puts back what a flushed Redis or a killed worker left behind. in_doubt stays: a running job may have
-- reached Stripe, so its next attempt looks there first, and a cancel is refused until it did.
-- By arrays: with "in (...) or in (...)" all jobs that there ever were would be read, every second.
update grace.jobs
set state = 'scheduled', lease_until = null, updated_at = now()
where id = any (
    array(
        select id
        from grace.jobs
        where state = 'queued' and updated_at < now() - $1::interval
        order by updated_at
        limit 500
        for update skip locked
    )
    || array(
        select id
        from grace.jobs
        where state = 'running' and lease_until < now()
        order by lease_until
        limit 500
        for update skip locked
    )
)
returning id
