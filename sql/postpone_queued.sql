-- $1 installation, $2 id, $3 kind, $4 order_id, $5 generation, $6 delay, $7 longest
-- A message that could not be worked on, because another worker holds the order's lock: true. False where the job has
-- waited for the longest time already, null where the message is stale. Told once for each wait.
with postponed as (
    update grace.jobs
    set state = 'scheduled', run_at = now() + $6::interval, postponed_since = coalesce(postponed_since, now()),
        updated_at = now()
    where ulid = $2 and kind = $3 and order_id = $4 and generation = $5 and state = 'queued'
        and exists (select from grace.installation as i where i.id = $1)
        and (postponed_since is null or postponed_since > now() - $7::interval)
    returning id, order_id, kind, subject
),
told as (
    insert into grace.events (order_id, kind, job_id, detail)
    select p.order_id, 'job_postponed', p.id, jsonb_build_object('job', p.kind, 'subject', p.subject)
    from postponed as p
    where not exists (
        select
        from grace.events as e
        where e.order_id = p.order_id and e.job_id = p.id and e.kind = 'job_postponed'
            and e.at > now() - interval '10 seconds'
    )
)
select case
    when exists (select from postponed) then true
    when exists (
        select
        from grace.jobs
        where ulid = $2 and kind = $3 and order_id = $4 and generation = $5 and state = 'queued'
            and exists (select from grace.installation as i where i.id = $1)
    ) then false
end
