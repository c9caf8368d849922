-- $1 payment id to start after, $2 payment session id to start after, $3 how many of each
-- Payments and sessions are read once, by their primary keys, whatever their state: Medusa makes some of them days after
-- the cancel, and some are captured when they first appear. Each is then followed by keys to its order. A payment whose
-- capture waits is left to that job, which finds its order canceled; one that a cancel closed holds nothing to look at.
with payments as materialized (
    select p.id, p.payment_collection_id, p.canceled_at is not null and p.captured_at is null as is_closed
    from payment as p
    where p.id > $1 and (p.deleted_at is null and p.amount > 0) is true
    order by p.id
    limit $3
),
sessions as materialized (
    select s.id, s.payment_collection_id
    from payment_session as s
    where s.id > $2 and (s.deleted_at is null and s.provider_id ~ '^pp_stripe(-[a-z0-9-]+)?_') is true
    order by s.id
    limit $3
),
arrived as (
    select p.payment_collection_id
    from payments as p
    where (
        not p.is_closed
        or (select c.id from capture as c where c.payment_id = p.id and c.deleted_at is null limit 1) is not null
    )
    and (
        select j.id
        from grace.jobs as j
        where j.kind = 'capture' and j.subject = p.id and (j.state in ('scheduled', 'queued', 'running')) is true
        limit 1
    ) is null
    union
    select s.payment_collection_id
    from sessions as s
    where not exists (
        select
        from payment as q
        where q.payment_session_id = s.id and (q.deleted_at is null) is true
    )
)
select now() as now, (select max(id) from payments) as payment_id, (select count(*) from payments) as payments,
    (select max(id) from sessions) as session_id, (select count(*) from sessions) as sessions,
    coalesce(
        (
            select array_agg(distinct o.id)
            -- All at a time: without statistics a look for each of them can read all links each time.
            from (
                select l.order_id
                from order_payment_collection as l
                where l.payment_collection_id = any (array(select a.payment_collection_id from arrived as a))
                    and l.deleted_at is null
                offset 0
            ) as l
            cross join lateral (
                select o.id
                from "order" as o
                where o.id = l.order_id
                    and (o.deleted_at is null and (o.status = 'canceled' or o.canceled_at is not null)) is true
                offset 0
            ) as o
        ),
        '{}'
    ) as order_ids
