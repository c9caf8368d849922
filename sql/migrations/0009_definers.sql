-- names the schema of Medusa's tables
-- Definers run with the rights of the role that migrates, and hand out the little that the processes need of columns
-- whose other content they must not read. Their search path leads to no schema where others may create functions, so
-- each table is named with its schema: the one that the search path finds "order" in. They are for roles that
-- "migrate --grants" names.
do $migration$
declare
    shop text;
begin
    select quote_ident(n.nspname)
    into shop
    from pg_class as c
    join pg_namespace as n on n.oid = c.relnamespace
    where c.oid = to_regclass('"order"');
    if shop is null then
        raise undefined_table using message = 'there is no table "order": these functions read Medusa''s tables';
    end if;

    -- What the processes need of payment.data, Stripe's PaymentIntent. The rest of it stays unread: client_secret pays.
    execute format(
        $definer$
create or replace function grace.payment_intent_v1 (the_payment text)
returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
-- A plan is kept for as long as the connection: made while a table was small, it would read all of it later.
set enable_seqscan = off
set plan_cache_mode = force_generic_plan
as $function$
#variable_conflict use_column
begin
    return (
        select jsonb_build_object(
            'id', p.data ->> 'id', 'status', p.data ->> 'status', 'livemode', p.data ->> 'livemode',
            'amount_received', p.data ->> 'amount_received',
            'capture_before', p.data #>> '{latest_charge,payment_method_details,card,capture_before}'
        )
        from (
            -- "||" returns the object decompressed: once, and not for each of its keys.
            select p.data::jsonb || '{}' as data
            from %1$s.payment as p
            where p.id = the_payment
            offset 0
        ) as p
    );
end
$function$
        $definer$,
        shop
    );
    revoke all on function grace.payment_intent_v1 from public;

    -- The id in payment.data, Stripe's PaymentIntent: all that a cancel needs of it. See payment_intent.
    execute format(
        $definer$
create or replace function grace.payment_intent_id_v1 (the_payment text)
returns text
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
-- A plan is kept for as long as the connection: made while a table was small, it would read all of it later.
set enable_seqscan = off
set plan_cache_mode = force_generic_plan
as $function$
#variable_conflict use_column
begin
    return (select p.data ->> 'id' from %1$s.payment as p where p.id = the_payment);
end
$function$
        $definer$,
        shop
    );
    revoke all on function grace.payment_intent_id_v1 from public;

    -- What the processes need of payment_session.data, Stripe's PaymentIntent, and of payment_session.metadata: what this
    -- sidecar refunded. The rest stays unread: client_secret pays, and metadata is the shop's own.
    execute format(
        $definer$
create or replace function grace.session_intent_v1 (the_session text)
returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
-- A plan is kept for as long as the connection: made while a table was small, it would read all of it later.
set enable_seqscan = off
set plan_cache_mode = force_generic_plan
as $function$
#variable_conflict use_column
begin
    return (
        select jsonb_build_object(
            'id', s.data ->> 'id', 'status', s.data ->> 'status', 'currency', s.data ->> 'currency',
            'amount_received', s.data ->> 'amount_received', 'refunded', s.metadata ->> 'grace_refunded'
        )
        from (
            -- "||" returns the object decompressed: once, and not for each of its keys.
            select s.data::jsonb || '{}' as data, s.metadata
            from %1$s.payment_session as s
            where s.id = the_session
            offset 0
        ) as s
    );
end
$function$
        $definer$,
        shop
    );
    revoke all on function grace.session_intent_v1 from public;

    -- Payments of PaymentIntents, read in one scan: payment.data has no index to find an intent by.
    execute format(
        $definer$
create or replace function grace.payments_of_intents_v1 (the_intents text[])
returns table (payment_id text, intent_id text)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $function$
#variable_conflict use_column
begin
    return query
    select p.id, p.data ->> 'id'
    from %1$s.payment as p
    where p.data ->> 'id' = any(the_intents);
end
$function$
        $definer$,
        shop
    );
    revoke all on function grace.payments_of_intents_v1 from public;

    -- Orders of an e-mail address among the newest, the newest first. Which addresses there are stays unread.
    execute format(
        $definer$
create or replace function grace.orders_of_email_v1 (the_address text, the_window integer)
returns table (order_id text)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $function$
#variable_conflict use_column
begin
    return query
    select e.id
    from (select n.id, n.email from %1$s."order" as n order by n.id desc limit the_window) as e
    where lower(e.email) = lower(the_address)
    order by e.id desc
    limit 20;
end
$function$
        $definer$,
        shop
    );
    revoke all on function grace.orders_of_email_v1 from public;

    -- Whether the action of an order change gives the order another e-mail address, other than in case. The details of other
    -- actions stay unread: that of a requested transfer has the token which accepts it.
    execute format(
        $definer$
create or replace function grace.email_changed_v1 (the_action text)
returns boolean
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
-- A plan is kept for as long as the connection: made while a table was small, it would read all of it later.
set enable_seqscan = off
set plan_cache_mode = force_generic_plan
as $function$
#variable_conflict use_column
begin
    return (
        select a.details ->> 'type' = 'email'
            and lower(a.details ->> 'old') is distinct from lower(a.details ->> 'new')
        from %1$s.order_change_action as a
        where a.id = the_action
    ) is true;
end
$function$
        $definer$,
        shop
    );
    revoke all on function grace.email_changed_v1 from public;

    -- Whether the token is a publishable key that is valid. Tokens of secret keys, hashed, are in the same column.
    -- The oldest 2.x has no deleted_at: there the name is that of the outer "absent".
    execute format(
        $definer$
create or replace function grace.is_publishable_key_v1 (the_token text)
returns boolean
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
-- A plan is kept for as long as the connection: made while a table was small, it would read all of it later.
set enable_seqscan = off
set plan_cache_mode = force_generic_plan
as $function$
#variable_conflict use_column
begin
    return exists (
        select
        from (values (null::timestamptz)) as absent (deleted_at)
        cross join lateral (
            select deleted_at
            from %1$s.api_key as k
            where k.token = the_token and k.type = 'publishable' and (k.revoked_at is null or k.revoked_at > now())
        ) as k
        where k.deleted_at is null
    );
end
$function$
        $definer$,
        shop
    );
    revoke all on function grace.is_publishable_key_v1 from public;

    -- Note in a payment session's metadata what was refunded of it, and leave unread what else the shop keeps there.
    execute format(
        $definer$
create or replace function grace.note_session_refund_v1 (the_session text, the_refunded numeric)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set plan_cache_mode = force_generic_plan
as $function$
#variable_conflict use_column
begin
    update %1$s.payment_session as s
    set metadata = coalesce(s.metadata, '{}') || jsonb_build_object('grace_refunded', the_refunded::text)
    where s.id = the_session and s.deleted_at is null
        and (the_refunded > 0 or s.metadata ->> 'grace_refunded' is not null);
end
$function$
        $definer$,
        shop
    );
    revoke all on function grace.note_session_refund_v1 from public;

    -- Orders that payment collections of an order are linked to, with the collection: live or canceled, each but itself.
    execute format(
        $definer$
create or replace function grace.linked_orders_v1 (the_order text)
returns table (order_id text, payment_collection_id text)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
-- A plan is kept for as long as the connection: made while a table was small, it would read all of it later.
set enable_seqscan = off
set plan_cache_mode = force_generic_plan
-- Without statistics every partial index of the links costs the same. Without bitmaps and sorts, the index that gives the
-- links in the order asked for is left, whatever statistics there are.
set enable_bitmapscan = off
set enable_sort = off
as $function$
#variable_conflict use_column
begin
    return query
    select b.order_id::text, b.payment_collection_id::text
    from %1$s.order_payment_collection as l
    cross join lateral (
        select b.order_id, b.payment_collection_id
        from %1$s.order_payment_collection as b
        where b.payment_collection_id >= l.payment_collection_id
            and b.payment_collection_id <= l.payment_collection_id and b.deleted_at is null
        order by b.payment_collection_id
        offset 0
    ) as b
    where l.order_id = the_order and (l.deleted_at is null) is true and (b.order_id <> the_order) is true;
end
$function$
        $definer$,
        shop
    );
    revoke all on function grace.linked_orders_v1 from public;
end
$migration$;
