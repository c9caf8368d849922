-- Each provider that a payment has, from one to the next in the index by provider: a shop has few, and many payments.
with recursive found as (
    (
        select p.provider_id from payment as p where p.deleted_at is null order by p.provider_id limit 1
    )
    union all
    select (
        select p.provider_id from payment as p
        where p.deleted_at is null and p.provider_id > f.provider_id
        order by p.provider_id limit 1
    )
    from found as f
    where f.provider_id is not null
)
select provider_id from found where provider_id is not null
