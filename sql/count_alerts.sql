-- Not delivered yet, from their partial index.
select channel, count(*) as number,
    extract(epoch from clock_timestamp() - min(created_at))::float8 as oldest
from grace.alerts
where delivered_at is null
group by channel
