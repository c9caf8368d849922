-- Open ones, from their partial index.
select kind, count(*) as number from grace.incidents where closed_at is null group by kind
