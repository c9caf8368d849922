-- By the tables themselves: anybody may read the catalogue, and Medusa keeps its release nowhere else.
select
    to_regclass('"order"') is not null as there,
    exists (
        select from pg_attribute as a where a.attrelid = to_regclass('"order"') and a.attname = 'fulfillment_status'
    ) as first,
    exists (
        select from pg_attribute as a where a.attrelid = to_regclass('payment') and a.attname = 'order_id'
    ) as early,
    to_regclass('order_credit_line') is not null as credit_lines,
    exists (
        select from pg_attribute as a
        where a.attrelid = to_regclass('"order"') and a.attname = 'locale' and not a.attisdropped
    ) as locale
