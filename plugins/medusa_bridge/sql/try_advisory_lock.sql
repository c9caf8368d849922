-- $1 key
-- Never waits: whoever waits for one item's lock while holding another's makes every checkout of that one wait too.
select pg_try_advisory_xact_lock($1::bigint)
