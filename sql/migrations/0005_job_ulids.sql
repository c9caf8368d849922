-- concurrently
-- Messages name jobs by it. Rows of the version before have none until they are dispatched again.
create unique index concurrently if not exists jobs_ulid on grace.jobs (ulid) where ulid is not null;
