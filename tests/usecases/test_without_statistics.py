"""A shop that was restored and never analyzed: what a use case reads does not grow with the shop.

Counted are the rows and index entries that Postgres went through, by its own counters, on connections that were opened
while the shop was small and on new ones.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest

from app.domain.jobs import JobKind
from app.embedded.shop import Line, PlacedOrder
from app.embedded.stripe_sandbox.client import Sandbox
from app.ports import Services
from app.settings import Settings
from app.usecases import track_conversions
from app.usecases.adopt_canceled import adopt_canceled
from app.usecases.dispatch_jobs import dispatch_jobs, sweep_jobs
from app.usecases.preview_cancel import preview_cancel
from app.usecases.recheck_canceled import recheck_canceled
from app.usecases.track_payments import start_tracking, track_payments
from tests.benchmarks.orders import copy_orders
from tests.databases import one_database_a_file
from tests.usecases.hand import Hand, opened
from tests.world import Shop, settings_for

database = one_database_a_file()

SMALL, LARGE = 240, 2_000
"""Orders. In a small shop an index of a page or so may be read whole: nothing is cheaper."""
MAY_READ = 150
"""Rows, or entries of one index, that one act may go through in a large shop."""
WINDOWS = {"adopt": 6_000, "track": 2 * track_conversions.WINDOW}
"""What a walk goes through, each time: 2,000 captures, and what is between them; orders, twice."""

_UNANALYZED = """
select format('alter table %s set (autovacuum_enabled = false)', oid::regclass) from pg_class
where relkind = 'r' and relnamespace in ('public'::regnamespace, 'grace'::regnamespace)
"""
_READ = """
select r.relation, sum(r.read)::bigint as read
from (
    select relname as relation, seq_tup_read as read from pg_stat_user_tables
    union all
    select relname || '.' || indexrelname, idx_tup_read from pg_stat_user_indexes
) as r
where r.read > 0
group by r.relation
"""
_HISTORY = """
with old as (
    select id, row_number() over (order by id) as n, created_at from "order"
    where created_at <= $1 and id not in (select order_id from grace.jobs)
),
paid as (
    insert into grace.jobs (kind, order_id, subject, state, run_at)
    select 'capture', o.id, p.id, case when o.n % 2 = 0 then 'removed' else 'scheduled' end, now() + interval '1 hour'
    from old as o
    join order_payment_collection as l on l.order_id = o.id
    join payment as p on p.payment_collection_id = l.payment_collection_id
),
orders as (
    update "order" set status = 'canceled', canceled_at = created_at where id in (select id from old where n % 2 = 0)
),
payments as (
    update payment as p set canceled_at = p.created_at
    from order_payment_collection as l
    where l.payment_collection_id = p.payment_collection_id
        and l.order_id in (select id from old where n % 2 = 0)
),
canceled as (
    insert into grace.cancellations (order_id, canceled_by, request_id, canceled_at)
    select id, 'token', 'r', created_at from old where n % 2 = 0
),
ended as (
    insert into grace.jobs (kind, order_id, subject, state, run_at)
    select k.kind, o.id, o.id || k.kind, 'done', o.created_at
    from old as o
    cross join unnest(array['void', 'release', 'publish']) as k (kind)
    where o.n % 2 = 0
)
insert into grace.events (order_id, kind, at)
select o.id, 'job_done', o.created_at from old as o cross join generate_series(1, 5)
"""

_OTHERS_REST = (
    """
    update grace.jobs set run_at = now() + interval '1 day', updated_at = now() - interval '1 day'
    where order_id <> $1 and updated_at > now() - interval '1 hour'
    """,
    "update grace.cancellations set canceled_at = now() - interval '1 day' where order_id <> $1",
)
_REINDEX = """
select format('reindex table %s', oid::regclass) from pg_class
where relkind = 'r' and relnamespace in ('public'::regnamespace, 'grace'::regnamespace)
"""

Act = Callable[[], Awaitable[object]]
Prepare = Callable[[Hand, PlacedOrder], Awaitable[Act]]


def _job(kind: JobKind) -> Prepare:
    """Queue the order's job; run it."""

    async def prepare(hand: Hand, order: PlacedOrder) -> Act:
        if kind in (JobKind.CAPTURE, JobKind.LOOK):
            subject = order.payment_ids[0]
            await hand.schedule(order, kind, [subject if kind is JobKind.CAPTURE else f"{subject}:evt_1"])
        else:
            await hand.cancel(order)
        ref = await hand.queue(order, kind)
        return lambda: hand.deliver(kind, ref)

    return prepare


def _of_canceled(act: Callable[[Hand, PlacedOrder], Awaitable[object]]) -> Prepare:
    async def prepare(hand: Hand, order: PlacedOrder) -> Act:
        await hand.cancel(order)
        return lambda: act(hand, order)

    return prepare


def _of_open(act: Callable[[Hand, PlacedOrder], Awaitable[object]]) -> Prepare:
    async def prepare(hand: Hand, order: PlacedOrder) -> Act:
        return lambda: act(hand, order)

    return prepare


async def _preview(hand: Hand, order: PlacedOrder) -> object:
    async with hand.services.db.read("test") as conn:
        seen = await hand.services.orders.read_order(conn, order.id)
    assert seen is not None
    return await preview_cancel(hand.services, seen)


ACTS: dict[str, Prepare] = {
    "preview": _of_open(_preview),
    "cancel": _of_open(lambda hand, order: hand.cancel(order)),
    "cancel again": _of_canceled(lambda hand, order: hand.cancel(order)),
    **{
        kind.value: _job(kind)
        for kind in (JobKind.VOID, JobKind.RELEASE, JobKind.PUBLISH, JobKind.CAPTURE, JobKind.LOOK)
    },
    "dispatch": _of_canceled(lambda hand, _: dispatch_jobs(hand.services)),
    "sweep": _of_canceled(lambda hand, _: sweep_jobs(hand.services)),
    "track": _of_open(lambda hand, _: track_payments(hand.services)),
    "recheck": _of_canceled(lambda hand, _: recheck_canceled(hand.services)),
    "adopt": _of_open(lambda hand, _: adopt_canceled(hand.services)),
}


@pytest.fixture
def settings(database: str, redis_url: str, sandbox: Sandbox) -> Settings:
    return settings_for(database, redis_url, sandbox, VOID_WAIT_SECONDS="0", DATABASE_POOL_SIZE="2")


async def place(shop: Shop) -> PlacedOrder:
    """An order of the shop's one item: stock does not grow with the orders."""
    item_id = await shop.conn.fetchval("select min(id) from inventory_item")
    return await shop.place(lines=[Line(inventory_item_id=item_id)])


async def grow(shop: Shop, size: int) -> None:
    """Fill the shop with copies of an order up to ``size``, over the last thirty days, half of them canceled."""
    there = await shop.conn.fetchval('select count(*) from "order"')
    template = await place(shop)
    placed_at = datetime.now(UTC) - timedelta(hours=2)
    await copy_orders(shop.conn, [template.id], first=there, count=size - there, placed_at=placed_at, spread="30 days")
    await shop.conn.execute(_HISTORY, placed_at)


async def flush(hand: Hand) -> None:
    """Have Postgres count what was read so far; a pool hands out the connection that it was last given back."""
    async with hand.services.db.transaction("test.flush") as one:
        await one.execute("select pg_stat_force_next_flush()")
    await hand.shop.conn.execute("select pg_stat_force_next_flush()")


async def read_by(hand: Hand, name: str) -> dict[str, int]:
    """What an act reads for an order of its own, by table and index; the other orders have nothing to do."""
    await track_payments(hand.services)
    order = await place(hand.shop)
    act = await ACTS[name](hand, order)
    for text in _OTHERS_REST:
        await hand.shop.conn.execute(text, order.id)
    await flush(hand)
    await hand.shop.conn.execute("select pg_stat_reset()")
    await act()
    await flush(hand)
    return {row["relation"]: row["read"] for row in await hand.shop.conn.fetch(_READ)}


async def too_much(services: Services, shop: Shop, bound: int) -> list[str]:
    """Acts that go through more of a table than ``bound``."""
    found = []
    for name in ACTS:
        may_read = bound + WINDOWS.get(name, 0)
        reads = await read_by(Hand(services, shop), name)
        found += [f"{name}: {read} of {relation}" for relation, read in reads.items() if read > may_read]
    return found


async def test_no_act_reads_more_in_a_larger_shop(shop: Shop, settings: Settings) -> None:
    for row in await shop.conn.fetch(_UNANALYZED):
        await shop.conn.execute(row[0])
    async with opened(settings) as early:
        await start_tracking(early, datetime.now(UTC))
        for _ in range(3):  # each connection has its plans, made for a shop of a few orders
            await too_much(early, shop, 0)
        await grow(shop, SMALL)
        async with opened(settings) as services:
            assert await too_much(services, shop, 3 * SMALL) == []
        await grow(shop, LARGE)
        assert await too_much(early, shop, MAY_READ) == []
    async with opened(settings) as services:
        assert await too_much(services, shop, MAY_READ) == []
    for row in await shop.conn.fetch(_REINDEX):  # as a restore leaves it: sizes are known, nothing else
        await shop.conn.execute(row[0])
    async with opened(settings) as services:
        assert await too_much(services, shop, MAY_READ) == []
    assert await shop.conn.fetchval("select count(*) from pg_stats where schemaname in ('public', 'grace')") == 0
    await shop.conn.execute("analyze")
    async with opened(settings) as services:
        assert await too_much(services, shop, MAY_READ) == []
