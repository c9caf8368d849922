-- What people are told, and what follows a request through its jobs. Every new column may be null and has no default,
-- so that rows are not rewritten, and processes of the version before can go on beside this one.
set local lock_timeout = '5s';

alter table grace.jobs add column request_id text, add column traceparent text;

alter table grace.incidents add column alerted_at timestamptz, add column resolution_alerted_at timestamptz;

-- Who read the log was told of these.
update grace.incidents set alerted_at = coalesce(announced_at, closed_at), resolution_alerted_at = closed_at
where announced_at is not null or closed_at is not null;

create index incidents_unalerted on grace.incidents (id) where alerted_at is null;
create index incidents_unresolved on grace.incidents (id) where closed_at is not null and resolution_alerted_at is null;

-- One row per incident, event and channel: what was announced (the row), and what was delivered (delivered_at).
create table grace.alerts (
    id           bigint generated always as identity primary key,
    message_id   uuid not null default gen_random_uuid(),
    incident_id  bigint not null,
    event        text not null check (event in ('opened', 'resolved')),
    channel      text not null,
    attempts     integer not null default 0,
    next_at      timestamptz not null default now(),
    last_error   text,
    created_at   timestamptz not null default now(),
    delivered_at timestamptz,
    constraint alerts_one_per_event unique (incident_id, channel, event)
);

create index alerts_waiting on grace.alerts (channel, next_at) where delivered_at is null;

-- When each kind of process was last seen at work.
create table grace.heartbeats (
    name    text primary key,
    seen_at timestamptz not null
);
