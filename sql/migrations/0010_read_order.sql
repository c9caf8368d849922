-- When an order was placed. At a checkout that is created_at; then it has a cart. A draft is older than the order that
-- it becomes, and Medusa writes down nowhere when that is. It is recorded when it is first seen, in grace.conversions.
-- Until then counted is what the conversion makes of the lines of the current version, in the same moment: reservations,
-- or where there are none, tax lines, which stay as old as the draft in a region without automatic taxes. An order
-- without either shows the conversion in updated_at alone. The cart's index by deleted_at would be read whole where there
-- are no statistics.
create function grace.placed_at_v1 (
    the_order text, the_version integer, the_created timestamptz, the_updated timestamptz
)
returns timestamptz
language plpgsql stable security invoker
-- A plan is kept for as long as the connection: made while a table was small, it would read all of it later.
set enable_seqscan = off
set plan_cache_mode = force_generic_plan
as $function$
#variable_conflict use_column
begin
    return case
        when (
            select made.order_id
            from order_cart as made
            where made.order_id = the_order and (made.deleted_at is null) is true
            limit 1
        ) is not null then the_created
        else coalesce(
            (select v.converted_at from grace.conversions as v where v.order_id = the_order),
            greatest(
                the_created,
                coalesce(
                    (
                        select min(made.created_at)
                        from order_item as i
                        cross join lateral (
                            select r.created_at
                            from reservation_item as r
                            where r.line_item_id = i.item_id and r.deleted_at is null
                            offset 0
                        ) as made
                        where i.order_id = the_order and i.deleted_at is null and (i.version = the_version) is true
                    ),
                    (
                        select min(made.created_at)
                        from order_item as i
                        cross join lateral (
                            select t.created_at
                            from order_line_item_tax_line as t
                            where t.item_id = i.item_id and t.deleted_at is null
                            offset 0
                        ) as made
                        where i.order_id = the_order and i.deleted_at is null and (i.version = the_version) is true
                    ),
                    the_updated
                )
            )
        )
    end;
end
$function$;

-- Whether money is held, taken or payable in a payment collection.
create function grace.has_money_v1 (the_collection text)
returns boolean
language plpgsql stable security invoker
-- A plan is kept for as long as the connection: made while a table was small, it would read all of it later.
set enable_seqscan = off
set plan_cache_mode = force_generic_plan
as $function$
#variable_conflict use_column
begin
    return exists (
            select
            from payment as q
            where q.payment_collection_id = the_collection and q.deleted_at is null
                and (q.canceled_at is null or q.captured_at is not null)
        )
        or exists (
            select
            from (
                select grace.session_intent_v1(s.id) as intent
                from payment_session as s
                where s.payment_collection_id = the_collection and s.deleted_at is null
                    and (s.provider_id ~ '^pp_stripe(-[a-z0-9-]+)?_') is true
                    and not exists (
                        select
                        from payment as q
                        where q.payment_session_id = s.id and (q.deleted_at is null) is true
                    )
                offset 0
            ) as s
            where s.intent ->> 'id' is not null
                and (
                    s.intent ->> 'status' is distinct from 'canceled' or s.intent ->> 'amount_received' <> '0'
                )
        );
end
$function$;

-- An order as a cancel, a claim and a record read it: a row for each of its payments.
create type grace.order_v1 as (
    order_id text, status text, order_canceled_at timestamptz, version integer, customer_id text,
    placed_at timestamptz, order_currency text, total numeric, booked numeric, read_at timestamptz,
    live_fulfillments bigint, open_changes bigint, handed_over_at timestamptz, id text, payment_collection_id text,
    payment_session_id text, provider_id text, currency_code text, amount numeric, captured_at timestamptz,
    canceled_at timestamptz, intent_id text, captured numeric, unbooked numeric, last_captured_at timestamptz,
    refunded numeric, last_refunded_at timestamptz, is_capturing boolean, collection_canceled boolean, sessions text,
    payment_known boolean, linked text, money_in_cart boolean, captures_in_flight text, mark text
);

-- One row a payment; one row with id null when there is none; no row for drafts and deleted orders.
-- Any registered customer may request a transfer, so that a request is no open change; an accepted one, and another
-- e-mail address, hand the order over.
-- "mark" is the same for the same facts, whenever they were read.
-- Each table is read by a key of the one before ("offset 0" keeps the planner from turning that round), and no other
-- condition can be met by an index of its own: right without statistics, too.
-- "sessions": PaymentIntents of Stripe's that no payment was made of. A payment that is deleted leaves its session alone.
-- Orders that share a payment collection are rare: they are read by a statement of their own, on the same snapshot.
-- "linked": other orders that a payment collection of the order is linked to, canceled ones included, with what each comes
-- to, what is booked on it, and what payments bring it that this order does not share.
-- "money_in_cart": held, taken or payable money in collections that the cart leads to and the order does not.
-- "is_capturing", "captures_in_flight": a capture job runs, or a call to Stripe ended without a recorded answer.
create function grace.read_order_v1 (the_order text)
returns setof grace.order_v1
language plpgsql stable security invoker
-- A plan is kept for as long as the connection: made while a table was small, it would read all of it later.
set enable_seqscan = off
set plan_cache_mode = force_generic_plan
as $function$
#variable_conflict use_column
declare
    the_linked text := '[]';
begin
    if exists (select from grace.linked_orders_v1(the_order)) then
        the_linked := (
            select coalesce(
                jsonb_agg(
                    jsonb_build_object(
                        'id', x.id, 'collection_id', b.payment_collection_id, 'status', x.status, 'version', x.version,
                        'total', x.total, 'booked', x.booked,
                        'taken_elsewhere', m.taken::text, 'held_elsewhere', m.held::text
                    )
                    order by x.id, b.payment_collection_id
                ),
                '[]'
            )::text
            from grace.linked_orders_v1(the_order) as b
            cross join lateral (
                select o.id, o.version,
                    case when o.canceled_at is not null then 'canceled' else o.status::text end as status,
                    (
                        select min(coalesce(
                            (s.totals -> 'raw_current_order_total' ->> 'value')::numeric,
                            (s.totals ->> 'current_order_total')::numeric
                        ))::text
                        from order_summary as s
                        where s.order_id = o.id and s.version = o.version and s.deleted_at is null
                    ) as total,
                    (
                        select coalesce(sum(t.amount), 0)::text
                        from order_transaction as t
                        where t.order_id = o.id and t.deleted_at is null
                    ) as booked
                from "order" as o
                where o.id = b.order_id and (o.deleted_at is null and not o.is_draft_order and o.status <> 'draft') is true
                offset 0
            ) as x
            cross join lateral (
                select coalesce(sum(case when q.taken > 0 then q.taken - q.refunded end), 0) as taken,
                    coalesce(sum(case when q.taken = 0 and q.canceled_at is null then q.amount end), 0) as held
                from order_payment_collection as e
                cross join lateral (
                    select p.amount, p.canceled_at,
                        case
                            when c.captured = 0 and p.captured_at is not null then p.amount
                            else c.captured
                        end as taken,
                        (
                            select coalesce(sum(r.amount), 0)
                            from refund as r
                            where r.payment_id = p.id and r.deleted_at is null
                        ) as refunded
                    from payment as p
                    cross join lateral (
                        select coalesce(sum(c.amount), 0) as captured
                        from capture as c
                        where c.payment_id = p.id and c.deleted_at is null
                    ) as c
                    where p.payment_collection_id = e.payment_collection_id and p.deleted_at is null
                    offset 0
                ) as q
                where e.order_id = x.id and (e.deleted_at is null) is true
                    and not exists (
                        select
                        from order_payment_collection as w
                        where w.order_id = the_order and w.payment_collection_id = e.payment_collection_id
                            and (w.deleted_at is null) is true
                    )
            ) as m
        );
    end if;
    return query
    -- Cast, so that a release of Medusa's which changes the type of a column does not end the reads of running processes.
    select f.order_id::text, f.status, f.order_canceled_at::timestamptz, f.version::integer, f.customer_id::text,
        f.placed_at, f.order_currency::text, f.total, f.booked, clock_timestamp() as read_at, f.live_fulfillments, f.open_changes,
        f.handed_over_at::timestamptz, f.id::text, f.payment_collection_id::text, f.payment_session_id::text,
        f.provider_id::text, f.currency_code::text, f.amount::numeric, f.captured_at::timestamptz,
        f.canceled_at::timestamptz, f.intent_id, f.captured, f.unbooked, f.last_captured_at::timestamptz, f.refunded,
        f.last_refunded_at::timestamptz, f.is_capturing, f.collection_canceled, f.sessions, f.payment_known, f.linked,
        f.money_in_cart, f.captures_in_flight,
        md5(string_agg(f::text, ' ') over ()) as mark
    from (
        select o.id as order_id, o.status::text as status, o.canceled_at as order_canceled_at, o.version, o.customer_id,
            case
                -- placed_at says the same; most orders are spared the call.
                when exists (
                    select from order_cart as k where k.order_id = the_order and (k.deleted_at is null) is true
                ) then o.created_at
                else grace.placed_at_v1(o.id, o.version::integer, o.created_at, o.updated_at)
            end as placed_at,
            o.currency_code as order_currency,
            t.total,
            (
                select coalesce(sum(t.amount), 0)
                from order_transaction as t
                where t.order_id = the_order and t.deleted_at is null
            ) as booked,
            (
                select count(*)
                from order_fulfillment as l
                cross join lateral (
                    select f.id
                    from fulfillment as f
                    where f.id = l.fulfillment_id and (f.deleted_at is null) is true and f.canceled_at is null
                    offset 0
                ) as f
                where l.order_id = the_order and (l.deleted_at is null) is true
            ) as live_fulfillments,
            h.open_changes, h.handed_over_at,
            p.id, p.payment_collection_id, p.payment_session_id, p.provider_id, p.currency_code, p.amount, p.captured_at,
            p.canceled_at, p.intent_id,
            taken.captured, taken.unbooked, taken.last_captured_at, returned.refunded, returned.last_refunded_at,
            exists (
                select
                from grace.jobs as j
                where j.kind = 'capture' and j.subject = p.id
                    and (j.state = 'running' or (j.in_doubt and j.state in ('scheduled', 'queued')))
            ) as is_capturing,
            exists (
                select
                from payment_collection as k
                where k.id = p.payment_collection_id and k.status = 'canceled' and k.deleted_at is null
            ) as collection_canceled,
            (
                select coalesce(
                    jsonb_agg(
                        jsonb_build_object(
                            'id', s.id, 'payment_collection_id', l.payment_collection_id, 'provider_id', s.provider_id,
                            'currency_code', s.currency_code, 'amount', s.amount::text, 'intent_id', s.intent ->> 'id',
                            'intent_status', s.intent ->> 'status', 'intent_currency', s.intent ->> 'currency',
                            'received', s.intent ->> 'amount_received', 'refunded', s.intent ->> 'refunded'
                        )
                        order by s.id
                    ),
                    '[]'
                )::text
                from order_payment_collection as l
                cross join lateral (
                    select s.id, s.provider_id, s.currency_code, s.amount, grace.session_intent_v1(s.id) as intent
                    from payment_session as s
                    where s.payment_collection_id = l.payment_collection_id and s.deleted_at is null
                        and (s.provider_id ~ '^pp_stripe(-[a-z0-9-]+)?_') is true
                        and not exists (
                            select
                            from payment as q
                            where q.payment_session_id = s.id and (q.deleted_at is null) is true
                        )
                    offset 0
                ) as s
                where l.order_id = the_order and (l.deleted_at is null) is true and s.intent ->> 'id' is not null
            ) as sessions,
            p.id is not null
            or exists (
                select
                from order_payment_collection as l
                cross join lateral (
                    select s.id
                    from payment_session as s
                    where s.payment_collection_id = l.payment_collection_id and s.deleted_at is null
                    offset 0
                ) as s
                where l.order_id = the_order and (l.deleted_at is null) is true
            ) as payment_known,
            the_linked as linked,
            exists (
                select
                from order_cart as k
                cross join lateral (
                    select c.payment_collection_id
                    from cart_payment_collection as c
                    where c.cart_id = k.cart_id and (c.deleted_at is null) is true
                        and not exists (
                            select
                            from order_payment_collection as l
                            where l.order_id = the_order and l.payment_collection_id = c.payment_collection_id
                                and (l.deleted_at is null) is true
                        )
                    offset 0
                ) as c
                where k.order_id = the_order and (k.deleted_at is null) is true
                    and grace.has_money_v1(c.payment_collection_id)
            ) as money_in_cart,
            (
                select coalesce(jsonb_agg(j.subject order by j.subject), '[]')::text
                from grace.jobs as j
                where j.order_id = the_order and (j.kind = 'capture') is true
                    and (j.state = 'running' or (j.in_doubt and j.state in ('scheduled', 'queued')))
            ) as captures_in_flight
        from "order" as o
        cross join lateral (
            -- Two writers can both make a version: the lower total is the one that charges nobody too much.
            select min(coalesce(
                (s.totals -> 'raw_current_order_total' ->> 'value')::numeric, (s.totals ->> 'current_order_total')::numeric
            )) as total
            from order_summary as s
            where s.order_id = the_order and s.version = o.version and s.deleted_at is null
        ) as t
        left join lateral (
            select q.id, q.payment_collection_id, q.payment_session_id, q.provider_id, q.currency_code, q.amount,
                q.captured_at, q.canceled_at, grace.payment_intent_id_v1(q.id) as intent_id
            from order_payment_collection as l
            cross join lateral (
                select q.id, q.payment_collection_id, q.payment_session_id, q.provider_id, q.currency_code, q.amount,
                    q.captured_at, q.canceled_at
                from payment as q
                where q.payment_collection_id = l.payment_collection_id and q.deleted_at is null
                offset 0
            ) as q
            where l.order_id = the_order and (l.deleted_at is null) is true
            offset 0
        ) as p on true
        cross join lateral (
            select count(*) filter (
                    where c.status in ('pending', 'requested') and (c.change_type = 'transfer') is not true
                ) as open_changes,
                max(coalesce(c.confirmed_at, c.updated_at)) filter (
                    where c.status = 'confirmed' and (c.change_type = 'transfer' or a.id is not null)
                ) as handed_over_at
            from order_change as c
            left join lateral (
                select a.id
                from order_change_action as a
                where (c.status = 'confirmed' and c.change_type = 'update_order') is true
                    and a.order_change_id = c.id and a.deleted_at is null and grace.email_changed_v1(a.id)
                offset 0
            ) as a on true
            where c.order_id = the_order and c.deleted_at is null
        ) as h
        cross join lateral (
            -- Medusa books a capture last, once Stripe has answered.
            select coalesce(sum(c.amount), 0) as captured,
                coalesce(sum(c.amount) filter (
                    where (
                        select t.id
                        from order_transaction as t
                        where t.reference = 'capture' and t.reference_id = c.id and t.deleted_at is null
                        limit 1
                    ) is null
                ), 0) as unbooked,
                max(c.created_at) as last_captured_at
            from capture as c
            where c.payment_id = p.id and c.deleted_at is null
        ) as taken
        cross join lateral (
            select coalesce(sum(r.amount), 0) as refunded, max(r.created_at) as last_refunded_at
            from refund as r
            where r.payment_id = p.id and r.deleted_at is null
        ) as returned
        where o.id = the_order and (o.deleted_at is null and not o.is_draft_order and o.status <> 'draft') is true
        order by p.id
    ) as f
    order by f.id;
end
$function$;

-- Lock an order's row, then its payments' rows.
create function grace.lock_order_rows_v1 (the_order text)
returns void
language plpgsql volatile security invoker
-- A plan is kept for as long as the connection: made while a table was small, it would read all of it later.
set enable_seqscan = off
set plan_cache_mode = force_generic_plan
as $function$
#variable_conflict use_column
begin
    -- Always the first lock. Drafts and deleted orders are nobody's orders.
    perform 1
    from "order" as o
    where o.id = the_order and (o.deleted_at is null and not o.is_draft_order and o.status <> 'draft') is true
    for update of o;
    -- Always the second: the rows that Medusa's own capture locks, in the order of their ids. Each by its keys, whatever
    -- statistics there are.
    perform 1
    from payment as p
    where (p.deleted_at is null) is true
        and p.id = any(
            array(
                select q.id
                from order_payment_collection as l
                cross join lateral (
                    select q.id
                    from payment as q
                    where q.payment_collection_id = l.payment_collection_id and q.deleted_at is null
                    offset 0
                ) as q
                where l.order_id = the_order and (l.deleted_at is null) is true
            )
        )
    order by p.id
    for update of p;
end
$function$;

-- Lock an order and its payments, then read them as read_order does.
-- VOLATILE: under READ COMMITTED each statement of the body takes a snapshot of its own, so that what is read last is
-- read after the locks were had. Inside the statement that waited for a lock it would be as old as the wait.
create function grace.lock_order_v1 (the_order text)
returns setof grace.order_v1
language plpgsql volatile security invoker
as $function$
#variable_conflict use_column
begin
    perform grace.lock_order_rows_v1(the_order);
    return query select * from grace.read_order_v1(the_order);
end
$function$;

grant execute on function
    grace.placed_at_v1, grace.has_money_v1, grace.read_order_v1, grace.lock_order_rows_v1, grace.lock_order_v1
to public;
