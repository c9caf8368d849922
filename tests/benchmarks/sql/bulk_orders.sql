-- A schema of the benchmark's own beside Medusa's: ids as Medusa makes them, and whole orders by the thousand.
create schema bench;

-- Medusa's ids: a prefix and a ULID of the time.
create function bench.new_id(prefix text, at timestamptz, salt text) returns text language sql immutable as $$
    select prefix || '_' || string_agg(
        substr('0123456789ABCDEFGHJKMNPQRSTVWXYZ', (((extract(epoch from at) * 1000)::bigint >> (5 * k)) & 31)::int + 1, 1),
        '' order by k desc
    ) || upper(substr(md5(prefix || salt), 1, 16))
    from generate_series(0, 9) as k
$$;

create function bench.raw(number numeric) returns jsonb language sql immutable as $$
    select jsonb_build_object('value', trim_scale(number)::text, 'precision', 20)
$$;

-- Stock that the orders share: as many kinds of shirt as asked for.
create function bench.stock(kinds int) returns void language sql as $$
    insert into inventory_item (id, sku, title, requires_shipping)
    select 'iitem_bench_' || k, 'BENCH-' || k, 'M', true from generate_series(0, kinds - 1) as k;
    insert into inventory_level (
        id, inventory_item_id, location_id, stocked_quantity, raw_stocked_quantity, reserved_quantity,
        raw_reserved_quantity, incoming_quantity, raw_incoming_quantity
    )
    select 'ilev_bench_' || k, 'iitem_bench_' || k, 'sloc_bench', 100000000, bench.raw(100000000), 0, bench.raw(0), 0,
        bench.raw(0)
    from generate_series(0, kinds - 1) as k;
$$;

-- Orders number first to last, one a millisecond up to now less "ago": one line, one hold of 29.7381 EUR, one
-- reservation. "intents" are those at Stripe, in the same order; without them the holds are made up.
create function bench.place(first int, last int, ago interval, kinds int, intents text[] default null)
returns void language plpgsql as $$
begin
    create temp table placed on commit drop as
    select n, n::text as salt, now() - ago - (last - n) * interval '1 ms' as at
    from generate_series(first, last) as n;
    insert into "order" (
        id, region_id, customer_id, sales_channel_id, status, email, currency_code, no_notification, created_at, updated_at
    )
    select bench.new_id('order', at, salt), 'reg_bench', 'cus_bench', 'sc_bench', 'pending', 'bench@shoppers.test', 'eur',
        false, at, at
    from placed;
    insert into order_line_item (
        id, title, subtitle, product_title, variant_title, requires_shipping, unit_price, raw_unit_price, created_at,
        updated_at
    )
    select bench.new_id('ordli', at, salt), 'Shirt', 'M', 'Shirt', 'M', true, 19.99, bench.raw(19.99), at, at from placed;
    insert into order_item (
        id, order_id, version, item_id, quantity, raw_quantity, fulfilled_quantity, shipped_quantity,
        return_requested_quantity, return_received_quantity, return_dismissed_quantity, written_off_quantity,
        created_at, updated_at
    )
    select bench.new_id('orditem', at, salt), bench.new_id('order', at, salt), 1, bench.new_id('ordli', at, salt), 1,
        bench.raw(1), 0, 0, 0, 0, 0, 0, at, at
    from placed;
    insert into order_summary (id, order_id, version, totals, created_at, updated_at)
    select bench.new_id('ordsum', at, salt), bench.new_id('order', at, salt), 1, t.totals, at, at
    from placed
    cross join (
        select jsonb_object_agg(s.name, s.sum) || jsonb_object_agg('raw_' || s.name, bench.raw(s.sum)) as totals
        from (
            values ('original_order_total', 29.7381), ('current_order_total', 29.7381), ('accounting_total', 29.7381),
                ('credit_line_total', 0), ('paid_total', 0), ('refunded_total', 0), ('transaction_total', 0),
                ('pending_difference', 29.7381)
        ) as s (name, sum)
    ) as t;
    insert into order_shipping (id, order_id, version, shipping_method_id, created_at, updated_at)
    select bench.new_id('ordspmv', at, salt), bench.new_id('order', at, salt), 1, bench.new_id('ordsm', at, salt), at, at
    from placed;
    insert into payment_collection (
        id, currency_code, amount, raw_amount, authorized_amount, raw_authorized_amount, captured_amount,
        raw_captured_amount, refunded_amount, raw_refunded_amount, status, created_at, updated_at
    )
    select bench.new_id('pay_col', at, salt), 'eur', 29.7381, bench.raw(29.7381), 29.7381, bench.raw(29.7381), 0,
        bench.raw(0), 0, bench.raw(0), 'authorized', at, at
    from placed;
    insert into order_payment_collection (id, order_id, payment_collection_id, created_at, updated_at)
    select bench.new_id('ordpay', at, salt), bench.new_id('order', at, salt), bench.new_id('pay_col', at, salt), at, at
    from placed;
    insert into payment_session (
        id, currency_code, amount, raw_amount, provider_id, data, status, authorized_at, payment_collection_id,
        created_at, updated_at
    )
    select bench.new_id('payses', at, salt), 'eur', 29.7381, bench.raw(29.7381), 'pp_stripe_stripe', '{}', 'authorized',
        at, bench.new_id('pay_col', at, salt), at, at
    from placed;
    insert into payment (
        id, currency_code, amount, raw_amount, provider_id, data, payment_collection_id, payment_session_id, created_at,
        updated_at
    )
    select bench.new_id('pay', at, salt), 'eur', 29.7381, bench.raw(29.7381), 'pp_stripe_stripe',
        jsonb_build_object(
            'id', coalesce(intents[n - first + 1], 'pi_bench_' || salt), 'object', 'payment_intent', 'amount', 2974,
            'currency', 'eur', 'status', 'requires_capture', 'capture_method', 'manual', 'amount_capturable', 2974
        ),
        bench.new_id('pay_col', at, salt), bench.new_id('payses', at, salt), at, at
    from placed;
    insert into reservation_item (
        id, line_item_id, location_id, inventory_item_id, quantity, raw_quantity, allow_backorder, created_at, updated_at
    )
    select bench.new_id('resitem', at, salt), bench.new_id('ordli', at, salt), 'sloc_bench',
        'iitem_bench_' || n % kinds, 1, bench.raw(1), false, at, at
    from placed;
    update inventory_level as l
    set reserved_quantity = l.reserved_quantity + r.number,
        raw_reserved_quantity = bench.raw(l.reserved_quantity + r.number)
    from (select n % kinds as kind, count(*) as number from placed group by 1) as r
    where l.id = 'ilev_bench_' || r.kind;
    drop table placed;
end
$$;

-- Orders first to last become history: captured long ago, nothing reserved any more.
create function bench.settle(first int, last int, ago interval) returns void language plpgsql as $$
begin
    create temp table settled on commit drop as
    select n, n::text as salt, now() - ago - (last - n) * interval '1 ms' as at
    from generate_series(first, last) as n;
    update payment as p set captured_at = s.at
    from settled as s where p.id = bench.new_id('pay', s.at, s.salt);
    insert into capture (id, amount, raw_amount, payment_id, created_at, updated_at)
    select bench.new_id('capt', at, salt), 29.7381, bench.raw(29.7381), bench.new_id('pay', at, salt), at, at from settled;
    insert into order_transaction (
        id, order_id, version, amount, raw_amount, currency_code, reference, reference_id, created_at, updated_at
    )
    select bench.new_id('ordtrx', at, salt), bench.new_id('order', at, salt), 1, 29.7381, bench.raw(29.7381), 'eur',
        'capture', bench.new_id('capt', at, salt), at, at
    from settled;
    update payment_collection as c
    set status = 'completed', captured_amount = 29.7381, raw_captured_amount = bench.raw(29.7381), completed_at = s.at
    from settled as s where c.id = bench.new_id('pay_col', s.at, s.salt);
    delete from reservation_item as r using settled as s where r.id = bench.new_id('resitem', s.at, s.salt);
    update inventory_level as l
    set reserved_quantity = l.reserved_quantity - r.number,
        raw_reserved_quantity = bench.raw(l.reserved_quantity - r.number)
    from (select n % 200 as kind, count(*) as number from settled group by 1) as r
    where l.id = 'ilev_bench_' || r.kind;
    drop table settled;
end
$$;
