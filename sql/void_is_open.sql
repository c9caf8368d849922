-- $1 order_id
-- Whether there is nothing to tell yet: a void is still to be done, and no incident says that it goes wrong.
select exists (
        select
        from grace.jobs
        where order_id = $1 and (kind = 'void' and state in ('scheduled', 'queued', 'running')) is true
    )
    and not exists (select from grace.incidents where order_id = $1 and closed_at is null)
