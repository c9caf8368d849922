-- Stripe's webhooks about intents that no row of the shop's names yet: Medusa writes some rows after Stripe has sent its
-- event. They are looked at again until a row names them, or a day is over; then they are deleted.
create table grace.pending_stripe_events (
    event_id    text primary key,
    type        text not null,
    intent_id   text not null,
    session_id  text not null,
    received_at timestamptz not null default now(),
    next_at     timestamptz not null default now()
);

create index pending_stripe_events_due on grace.pending_stripe_events (next_at);
