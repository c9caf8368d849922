-- Who is signed in to the operator's page. A cookie names its row by a secret of which only the hash is kept; a process
-- of the version before believes the cookie alone, and makes no row. Rows are kept for a month, so that guesses at an
-- account from elsewhere do not slow an address that its owner signed in from (origin: a keyed hash of both).
create table grace.operator_sessions (
    id_hash    bytea primary key,
    admin_id   text not null,
    credential bytea,
    origin     bytea,
    begun_at   timestamptz not null default now(),
    seen_at    timestamptz not null default now(),
    checked_at timestamptz not null default now(),
    ended_at   timestamptz,
    end_reason text
);

create index operator_sessions_begun on grace.operator_sessions (begun_at);
create index operator_sessions_origin on grace.operator_sessions (origin);
