-- $1 kinds, $2 how many of each may be under way at once, $3 how many of each kind may be queued now
-- Moves due rows to "queued". The generation names this very dispatch: older messages are stale.
-- A row of the version before gets its ULID here.
-- The bound keeps a pile of due jobs in Postgres, where a sweep can tell a slow message from a lost one.
with due as (
    select j.id
    from unnest($1::text[], $3::int[]) as k (kind, room)
    cross join lateral (
        select id
        from grace.jobs
        where kind = k.kind and state = 'scheduled' and run_at <= now()
        order by run_at
        limit least(k.room, greatest($2 - (select count(*) from grace.jobs where kind = k.kind and state = 'queued'), 0))
        for update skip locked
    ) as j
)
update grace.jobs as j
set state = 'queued', generation = j.generation + 1, ulid = coalesce(j.ulid, grace.new_ulid()), updated_at = now()
where j.id = any(array(select id from due))
returning (select i.id from grace.installation as i) as installation, j.ulid as id, j.kind, j.order_id, j.generation
