-- Orders that payment collections of an order are linked to, with the collection: live or canceled, each but itself.
create or replace function {name} (the_order text)
returns table (order_id text, payment_collection_id text)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
-- A plan is kept for as long as the connection: made while a table was small, it would read all of it later.
set enable_seqscan = off
set plan_cache_mode = force_generic_plan
-- Without statistics every partial index of the links costs the same, but for the height of its tree. Beside so dear a
-- page that is nothing, and the index that gives the links in the order asked for is left.
set random_page_cost = 1000
as $function$
#variable_conflict use_column
begin
    return query
    select b.order_id::text, b.payment_collection_id::text
    from {shop}.order_payment_collection as l
    cross join lateral (
        select b.order_id, b.payment_collection_id
        from {shop}.order_payment_collection as b
        where b.payment_collection_id >= l.payment_collection_id
            and b.payment_collection_id <= l.payment_collection_id and b.deleted_at is null
        order by b.payment_collection_id
        offset 0
    ) as b
    where l.order_id = the_order and (l.deleted_at is null) is true and (b.order_id <> the_order) is true;
end
$function$
