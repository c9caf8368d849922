-- What happened to an order, in the order of its happening: the timeline on the operator's page. Only ever added to,
-- in the transactions that made it true; nothing is decided by it, so that old rows may be deleted at any time.
create table grace.events (
    id         bigint generated always as identity primary key,
    order_id   text not null,
    at         timestamptz not null default clock_timestamp(),
    kind       text not null,
    job_id     bigint,
    request_id text,
    actor      text,
    detail     jsonb not null default '{}'
);

create index events_order on grace.events (order_id, id);
-- Rows come in by time, so that a few pages of summaries stand in for an index of every row.
create index events_by_time on grace.events using brin (at) with (pages_per_range = 16, autosummarize = on);
-- The same form sent twice is one act.
create unique index events_one_act on grace.events (request_id) where kind in ('act_retry', 'act_refund', 'act_settle');

-- Who closed an incident by hand and what they noted. While "settled" stands, the very same trouble opens no new one.
alter table grace.incidents
    add column closed_by text,
    add column note text,
    add column settled boolean not null default false;

create index incidents_order on grace.incidents (order_id);
create index incidents_closed on grace.incidents (closed_at) where closed_at is not null;
