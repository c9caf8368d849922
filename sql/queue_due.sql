-- $1 kind, $2 how many may be under way at once
-- Moves due rows to "queued". The generation names this very dispatch: older messages are stale.
-- The bound keeps a pile of due jobs in Postgres, where a sweep can tell a slow message from a lost one.
update grace.jobs
set state = 'queued', generation = generation + 1, updated_at = now()
where id in (
    select id
    from grace.jobs
    where kind = $1 and state = 'scheduled' and run_at <= now()
    order by run_at
    limit greatest($2 - (select count(*) from grace.jobs where kind = $1 and state = 'queued'), 0)
    for update skip locked
)
returning id, kind, generation, order_id
