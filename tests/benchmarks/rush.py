"""(f) Out of the box, with Stripe at 150 ms: captures a second against the budget, voids while captures are due.

One API process and one worker with every default but ``VOID_WAIT_SECONDS``. Cancels amid due captures take turns with
cancels while none is due, in the same shop: between them the captures that are left are put off.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg

from app.domain.findings import Defect
from app.settings import read_settings
from app.settings_table import STRIPE_REQUESTS_PER_SECOND, Role
from tests.benchmarks import load
from tests.benchmarks.cancels import Orders, place_templates
from tests.benchmarks.captures import SLOW
from tests.benchmarks.figures import Figure, say
from tests.benchmarks.orders import Batch, copy_orders, make_holds, schedule_captures
from tests.benchmarks.proof import prove
from tests.benchmarks.scale import Scale
from tests.benchmarks.testbed import GRACE, SHOP, Testbed

SETTLE = 1.5
"""Seconds from a change of what is due until it is measured."""
_OURS = "kind = 'capture' and state in ('scheduled', 'queued') and order_id between $1 and $2"
_FALL_DUE = f"update grace.jobs set run_at = now(), state = 'scheduled' where {_OURS}"
_PUT_OFF = f"update grace.jobs set run_at = now() + interval '1 day' where {_OURS} and state = 'scheduled'"
_LEFT = f"select count(*) from grace.jobs where {_OURS} and run_at <= now()"
_DONE = "select count(*) from grace.jobs where kind = 'capture' and state = 'done' and order_id between $1 and $2"


def measure(scale: Scale, testbed: Testbed) -> list[Figure]:
    """Run it all."""
    return asyncio.run(_Rush(scale, testbed).run())


class _Rush:
    def __init__(self, scale: Scale, testbed: Testbed) -> None:
        self._scale, self._testbed = scale, testbed
        self._quiet: list[load.Load] = []
        self._amid: list[load.Load] = []
        self._rates: list[float] = []

    async def run(self) -> list[Figure]:
        testbed, scale = self._testbed, self._scale
        budget = STRIPE_REQUESTS_PER_SECOND
        out_of_the_box: dict[str, Any] = {"VOID_WAIT_SECONDS": "20", budget.name: budget.default}
        settings = read_settings(testbed.environment(**out_of_the_box), Role.WORKER)
        conn = await asyncpg.connect(testbed.dsn())
        try:
            captures, cancels = await self._furnish(conn)
            with testbed.serve(**out_of_the_box) as api, testbed.workers(**out_of_the_box):
                await testbed.sandbox.latency(SLOW)
                orders = Orders(cancels)
                await self._cancel(api.port, orders)  # to warm up
                for turn in range(scale.f_turns):
                    self._quiet.append(await self._cancel(api.port, orders))
                    self._amid.append(await self._amid_captures(conn, captures, api.port, orders))
                    say(
                        f"f: {turn + 1}/{scale.f_turns}, voided in {self._quiet[-1].median_ms:.0f} ms, amid captures "
                        f"in {self._amid[-1].median_ms:.0f} ms, {self._rates[-1]:.0f} captures a second meanwhile"
                    )
        finally:
            await conn.close()
        await prove(testbed, with_stripe=True, but=frozenset({Defect.UNCAPTURED}))  # those that were put off
        return list(self._figures(settings.worker_threads, settings.stripe_requests_per_second))

    def _figures(self, threads: int, budget: int) -> Iterator[Figure]:
        ratios = tuple(a.median_ms / q.median_ms for a, q in zip(self._amid, self._quiet, strict=True))
        last = tuple(a.quantile_ms(0.95) / q.quantile_ms(0.95) for a, q in zip(self._amid, self._quiet, strict=True))
        quiet, amid = self._quiet[-1], self._amid[-1]
        behind = {
            "captures due": self._scale.f_captures,
            "median ms": amid.median_ms,
            "with none due": quiet.median_ms,
            "95th percentile ms": amid.quantile_ms(0.95),
            "of those": quiet.quantile_ms(0.95),
        }
        yield Figure("f", "to voided amid due captures / with none due, median", ratios, "<= 1.3", made_of=behind)
        yield Figure("f", "to voided amid due captures / with none due, 95th percentile", last)
        rates = tuple(rate / budget for rate in self._rates)
        made_of = {"captures a second": self._rates[-1], "budget": budget, "threads": threads}
        yield Figure("f", "captures by one worker amid cancels / budget", rates, ">= 0.9", made_of=made_of)

    async def _cancel(self, port: int, orders: Orders) -> load.Load:
        """Cancel one order after the other; each answer waits until it is voided."""
        count = self._scale.f_cancels
        ids = [orders.batch.order_id(number) for number in orders.take(count)]
        requests = load.cancels(ids, self._testbed.keys[SHOP], self._testbed.secret)
        done = await asyncio.to_thread(load.run, port, requests, 1, count_body=b'"payment_action":"voided"')
        assert (dict(done.statuses), done.counted) == ({200: count}, count), done.bodies.most_common(2)
        return done

    async def _amid_captures(self, conn: asyncpg.Connection, batch: Batch, port: int, orders: Orders) -> load.Load:
        between = batch.order_id(batch.first), batch.order_id(batch.first + batch.count)
        await conn.execute(_FALL_DUE, *between)
        await asyncio.sleep(SETTLE)
        before, began = await conn.fetchval(_DONE, *between), time.perf_counter()
        done = await self._cancel(port, orders)
        captured, took = await conn.fetchval(_DONE, *between) - before, time.perf_counter() - began
        left = await conn.fetchval(_LEFT, *between)
        assert left > 0, "too few captures were due"
        self._rates.append(captured / took)  # what the cancels take of the budget besides is not counted
        await conn.execute(_PUT_OFF, *between)
        await asyncio.sleep(SETTLE)
        return done

    async def _furnish(self, conn: asyncpg.Connection) -> tuple[Batch, Batch]:
        """Captures that are put off, and orders to cancel."""
        scale, sandbox = self._scale, self._testbed.sandbox
        templates = await place_templates(self._testbed, conn)
        batches = []
        to_cancel = scale.f_cancels * (2 * scale.f_turns + 1)
        now = datetime.now(UTC).replace(microsecond=0)
        for count, placed in ((scale.f_captures, now - timedelta(seconds=GRACE + 3600)), (to_cancel, now)):
            intents = await make_holds(sandbox, count)
            batches.append(await copy_orders(conn, templates, first=1, count=count, placed_at=placed, intents=intents))
        await schedule_captures(conn, batches[0], now + timedelta(days=1))
        await conn.execute("vacuum analyze")
        await conn.execute("checkpoint")
        return batches[0], batches[1]
