-- $1 how long due jobs may wait
-- Open incidents, and jobs that should have been done by now, those that keep failing included.
select
    (select count(*) from grace.incidents where closed_at is null) as open_incidents,
    (
        select count(*)
        from grace.jobs as j
        where j.state in ('scheduled', 'queued', 'running')
            and least(j.run_at, j.failing_since, j.lease_until) < now() - $1::interval
    ) as late_jobs
