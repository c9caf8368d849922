-- What is still to be done. The rows are the truth; messages only say where to look.
create table grace.jobs (
    id            bigint generated always as identity primary key,
    kind          text not null check (kind in ('capture', 'void', 'refund', 'release', 'publish', 'look')),
    order_id      text not null,
    subject       text not null,
    state         text not null default 'scheduled'
                  check (state in ('scheduled', 'queued', 'running', 'done', 'removed', 'dead')),
    run_at        timestamptz not null,
    generation    integer not null default 0,
    attempts      integer not null default 0,
    failures      integer not null default 0,
    failing_since timestamptz,
    in_doubt      boolean not null default false,
    key_number    integer not null default 1,
    lease_until   timestamptz,
    last_error    text,
    created_at    timestamptz not null default now(),
    updated_at    timestamptz not null default now(),
    constraint jobs_one_per_subject unique (kind, subject),
    constraint jobs_lease_while_running check ((state = 'running') = (lease_until is not null)),
    constraint jobs_failing_since check ((failures > 0) = (failing_since is not null))
) with (fillfactor = 80);

create index jobs_order on grace.jobs (order_id);
create index jobs_scheduled on grace.jobs (kind, run_at) where state = 'scheduled';
create index jobs_queued on grace.jobs (kind, updated_at) where state = 'queued';
create index jobs_captured on grace.jobs (updated_at) where kind = 'capture' and state in ('done', 'dead');
create index jobs_running on grace.jobs (lease_until) where state = 'running';

-- Who canceled, when and why. Medusa's own tables have no column for it.
create table grace.cancellations (
    order_id    text primary key,
    canceled_by text not null,
    reason      text,
    request_id  text,
    canceled_at timestamptz not null
);

create index cancellations_by_time on grace.cancellations (canceled_at);

-- What needs a person. One open row per order and kind.
create table grace.incidents (
    id           bigint generated always as identity primary key,
    order_id     text not null,
    kind         text not null,
    detail       text not null,
    opened_at    timestamptz not null default now(),
    announced_at timestamptz,
    closed_at    timestamptz
);

create unique index incidents_one_open on grace.incidents (order_id, kind) where closed_at is null;
create index incidents_unannounced on grace.incidents (id) where announced_at is null;

-- How far a search through the shop's tables came.
create table grace.cursors (
    name     text primary key,
    position text not null
);
