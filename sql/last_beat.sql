-- $1 name
select extract(epoch from clock_timestamp() - seen_at)::float8 from grace.heartbeats where name = $1
