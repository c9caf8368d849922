"""(d) The same cancel and the same look for new payments in a small shop and in an old one, in turns.

Fair, since both are databases of one server, their orders copies of the same ones, and each cancel of the one is
followed by a cancel of the other. The old shop's orders were placed over three years, captured, fulfilled and
completed, with our own rows of them. Every plan that API and worker ran on the way (cancel, void, release, publish,
capture, poll, relay, sweep) is taken from the server's log, and what reads a long table whole is counted, be it one of
Medusa's or of ours.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from statistics import median
from typing import Final

import asyncpg

from app.embedded.shop import STRIPE, Payment, place_order
from app.embedded.shop_acts import capture_by_medusa, complete
from app.embedded.shop_parcels import fulfill
from app.runtime import open_runtime
from app.settings import read_settings
from app.settings_table import Role
from app.usecases.track_payments import start_tracking, track_payments
from plugins.medusa_bridge import BridgeConfig, MedusaBridge
from tests.benchmarks import load
from tests.benchmarks.cancels import Orders, place_templates
from tests.benchmarks.figures import Figure, say
from tests.benchmarks.orders import Batch, copy_orders, look_at, make_holds, schedule_captures
from tests.benchmarks.plans import explain, lengths, logged_plans, long_reads
from tests.benchmarks.scale import Scale
from tests.benchmarks.testbed import GRACE, SHOP, Testbed

OLD: Final = "old_shop"
_PORTION: Final = 100_000
_TRACED: Final = 16
"""Cancels, and captures, whose plans are logged: Postgres plans a statement anew five times, and then for good."""


def measure(scale: Scale, testbed: Testbed) -> list[Figure]:
    """Run it all."""
    testbed.add_shop(OLD)
    recent = scale.d_rounds * scale.d_cancels + 200
    batches = {
        SHOP: asyncio.run(_build(testbed, SHOP, scale.d_small, recent)),
        OLD: asyncio.run(_build(testbed, OLD, scale.d_large, recent)),
    }
    medians = _cancels(testbed, scale, {name: Orders(batch) for name, batch in batches.items()})
    polls = asyncio.run(_polls(testbed, scale))
    return [*_ratios(scale, medians, polls), asyncio.run(_plans(testbed, batches[OLD]))]


def _ratios(scale: Scale, medians: dict[str, list[float]], polls: dict[str, list[float]]) -> Iterator[Figure]:
    sizes = f"{scale.d_large:,} orders / {scale.d_small:,}"
    for what, found in (("cancel, median", medians), ("look for new payments, median", polls)):
        values = tuple(old / small for old, small in zip(found[OLD], found[SHOP], strict=True))
        behind = {"ms in the old shop": median(found[OLD]), "in the small one": median(found[SHOP])}
        yield Figure("d", f"{what}: {sizes}", values, "<= 1.2", made_of=behind)


async def _build(testbed: Testbed, database: str, orders: int, recent: int) -> Batch:
    began = time.monotonic()
    conn = await asyncpg.connect(testbed.dsn(database))
    try:
        await conn.execute("set synchronous_commit = off")
        old = await look_at(conn, [await _old_template(conn) for _ in range(4)])
        templates = await look_at(conn, await place_templates(testbed, conn))
        indexes = await conn.fetch(
            "select i.indexrelid::regclass::text as name, pg_get_indexdef(i.indexrelid) as made from pg_index as i "
            "join pg_class as c on c.oid = i.indrelid where c.relnamespace in ('public'::regnamespace, "
            "'grace'::regnamespace) and not exists (select from pg_constraint as k where k.conindid = i.indexrelid)"
        )
        for index in indexes:
            await conn.execute(f"drop index {index['name']}")
        now = datetime.now(UTC).replace(microsecond=0)
        years = 3 * 365 * 86400
        for first in range(1, orders + 1, _PORTION):
            count = min(_PORTION, orders + 1 - first)
            span = timedelta(seconds=years * count / orders)
            until = now - timedelta(days=3) - timedelta(seconds=years * (orders - first - count + 1) / orders)
            await copy_orders(
                conn, old, first=first, count=count, placed_at=until, spread=f"{span.total_seconds():.0f} seconds"
            )
            await conn.execute(_OWN_HISTORY)
            say(f"d: {database}: {first + count - 1:,} old orders, {time.monotonic() - began:.0f} s")
        for index in indexes:
            await conn.execute(index["made"])
        say(f"d: {database}: {len(indexes)} indexes, {time.monotonic() - began:.0f} s")
        await conn.execute("reset synchronous_commit")
        intents = await make_holds(testbed.sandbox, recent)
        batch = await copy_orders(conn, templates, first=10_000_000, count=recent, placed_at=now, intents=intents)
        await schedule_captures(conn, batch, now + timedelta(seconds=GRACE + 30))
        await conn.execute("vacuum analyze")
        await conn.execute("checkpoint")
        size = await conn.fetchval("select pg_size_pretty(pg_database_size(current_database()))")
        say(f"d: {database}: {size}, {time.monotonic() - began:.0f} s")
        return batch
    finally:
        await conn.close()


_DUE_NOW: Final = "update grace.jobs set run_at = now() where kind = 'capture' and order_id = any($1)"
_OWN_HISTORY: Final = """
with o as (
    select o.id, o.created_at
    from "order" as o
    join fresh as f on o.id = 'order_' || f.t || lpad(f.n::text, 14, '0') || '00'
),
jobs as (
    insert into grace.jobs (kind, order_id, subject, state, run_at, attempts, created_at, updated_at)
    select 'capture', id, replace(id, 'order_', 'pay_'), 'done', created_at + interval '1 day', 1, created_at,
        created_at + interval '1 day'
    from o
),
cancellations as (
    insert into grace.cancellations (order_id, canceled_by, canceled_at)
    select id, 'token', created_at
    from o
    where random() < 0.05
)
insert into grace.events (order_id, at, kind, detail)
select id, created_at + interval '1 day', kind, '{"job": "capture", "attempt": 1}'
from o, unnest(array['job_claimed', 'stripe_call', 'job_ended']) as kind
"""


async def _old_template(conn: asyncpg.Connection) -> str:
    order = await place_order(conn, payments=[Payment(provider_id=STRIPE, amount=Decimal("29.74"))])
    await capture_by_medusa(conn, order, order.payment_ids[0])
    await fulfill(conn, order)
    await complete(conn, order)
    return order.id


def _cancels(testbed: Testbed, scale: Scale, orders: dict[str, Orders]) -> dict[str, list[float]]:
    medians: dict[str, list[float]] = {SHOP: [], OLD: []}
    with testbed.serve(VOID_WAIT_SECONDS="0") as small, testbed.serve(database=OLD, VOID_WAIT_SECONDS="0") as old:
        ports = {SHOP: small.port, OLD: old.port}
        for turn in range(scale.d_rounds + 1):
            for database in (SHOP, OLD) if turn % 2 else (OLD, SHOP):
                numbers = orders[database].take(scale.d_cancels if turn else 20)
                ids = [orders[database].batch.order_id(number) for number in numbers]
                done = load.run(ports[database], load.cancels(ids, testbed.keys[database], testbed.secret), 1)
                assert done.statuses == {200: len(ids)}, f"{done.statuses}: {done.bodies.most_common(2)}"
                if turn:  # the first warms
                    medians[database].append(done.median_ms)
            if turn:
                told = f"{medians[OLD][-1]:.1f} ms old, {medians[SHOP][-1]:.1f} ms small"
                say(f"d: {turn}/{scale.d_rounds}, cancel: {told}")
    return medians


async def _polls(testbed: Testbed, scale: Scale) -> dict[str, list[float]]:
    """Medians of rounds of the product's own look, with its commit."""
    medians: dict[str, list[float]] = {SHOP: [], OLD: []}
    bridge = MedusaBridge(BridgeConfig(), None, None)
    settings = {name: read_settings(testbed.environment(name), Role.WORKER) for name in medians}
    async with open_runtime(settings[SHOP], bridge) as small, open_runtime(settings[OLD], bridge) as old:
        services = {SHOP: small.services, OLD: old.services}
        for each in services.values():
            await start_tracking(each, datetime.now(UTC))
            while await track_payments(each):
                pass
        for turn in range(scale.d_rounds):
            for database in (SHOP, OLD) if turn % 2 else (OLD, SHOP):
                took = []
                for _ in range(scale.d_polls):
                    began = time.perf_counter()
                    await track_payments(services[database])
                    took.append((time.perf_counter() - began) * 1000)
                medians[database].append(median(took))
    say(f"d: look for new payments: {median(medians[OLD]):.1f} ms old, {median(medians[SHOP]):.1f} ms small")
    return medians


async def _plans(testbed: Testbed, batch: Batch) -> Figure:
    """Let everything happen in the old shop under auto_explain."""
    conn = await asyncpg.connect(testbed.dsn(OLD))
    try:
        numbers = batch.numbers[-2 * _TRACED :]
        await explain(conn, OLD, on=True)
        with testbed.serve(database=OLD, VOID_WAIT_SECONDS="5") as api, testbed.workers(database=OLD):
            ids = [batch.order_id(number) for number in numbers[:_TRACED]]
            done = load.run(api.port, load.cancels(ids, testbed.keys[OLD], testbed.secret), 1)
            assert done.statuses == {200: _TRACED}, done.bodies.most_common(2)
            due = [batch.order_id(number) for number in numbers[_TRACED:]]
            await conn.execute(_DUE_NOW, due)
            for _ in range(300):
                open_ = await conn.fetchval(
                    "select count(*) from grace.jobs where order_id = any($1) "
                    "and state in ('scheduled', 'queued', 'running')",
                    ids + due,
                )
                if not open_:
                    break
                await asyncio.sleep(0.1)
            assert not open_, f"{open_} jobs of the traced orders are still open"
        await explain(conn, OLD, on=False)
        plans = await logged_plans(conn, OLD)
        bad, short = long_reads(plans, await lengths(conn))
        assert len(plans) > 20, f"only {len(plans)} plans were logged"
        for found in bad:
            say(f"d: reads {found}")
        behind = {
            "plans": len(plans),
            "long": " ".join(sorted({found.partition(",")[0] for found in bad})) or "none",
            "short, and read whole for that": " ".join(sorted(short)) or "none",
        }
        return Figure("d", "reads of a long table or index from end to end", (float(len(bad)),), "<= 0", "", behind)
    finally:
        await conn.close()
