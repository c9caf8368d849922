-- Which installation this is, and ids that no other installation and no restored copy issues again. The column of
-- grace.jobs is added without a default, so that no row is rewritten: rows from before get their ULID when they are next
-- dispatched. Processes of the version before insert without it and get the default.
create function grace.new_ulid ()
returns text
language sql volatile parallel safe
as $function$
    -- Crockford's base 32: ten digits of milliseconds, sixteen of random bits.
    select string_agg(
        substr(
            '0123456789ABCDEFGHJKMNPQRSTVWXYZ',
            1 + case
                when i < 10 then ((seed.milliseconds >> (45 - 5 * i)) & 31)::int
                else get_byte(seed.random, i - 10) & 31
            end,
            1
        ),
        '' order by i
    )
    from (
        select floor(extract(epoch from clock_timestamp()) * 1000)::bigint as milliseconds,
            uuid_send(gen_random_uuid()) as random
    ) as seed
    cross join generate_series(0, 9 + 16) as i
$function$;

-- A default is evaluated with the rights of the role that inserts.
grant execute on function grace.new_ulid () to public;

create table grace.installation (
    id         text collate "C" primary key default grace.new_ulid(),
    is_the_one boolean not null unique default true check (is_the_one),
    created_at timestamptz not null default now()
);

insert into grace.installation default values;

alter table grace.jobs add column ulid text collate "C", add column postponed_since timestamptz;
alter table grace.jobs alter column ulid set default grace.new_ulid();
