-- $1 name
insert into grace.heartbeats (name, seen_at) values ($1, now())
on conflict (name) do update set seen_at = excluded.seen_at
where grace.heartbeats.seen_at < now() - interval '2 seconds'
