"""(c) Captures that are due at once, against dramatiq's own drain of as many messages that do nothing.

Fair, since the no-op workers are dramatiq as it comes, with the same settings, as many processes and threads, and
messages of the same shape in a queue that fills at one stroke once all of them are up; sending those messages is not
counted, while the product's relay has to find its jobs in Postgres and send theirs within the time. The target is
measured against the coroutine actor, which is what ours are; the plain function is shown beside it. The contestants
take turns. With Stripe at 150 ms nobody can be faster than the jobs under way at once divided by 150 ms: that bound is
computed, not measured, and each number of workers runs once against it.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any

import asyncpg
import redis

from app.domain.findings import Defect
from app.embedded.processes import await_ready, end, spawn
from app.settings import read_settings
from app.settings_table import Role
from tests.benchmarks.cancels import place_templates
from tests.benchmarks.figures import Figure, say
from tests.benchmarks.noop import QUEUES, declare, make_broker
from tests.benchmarks.orders import Batch, copy_orders, make_holds, schedule_captures
from tests.benchmarks.proof import prove
from tests.benchmarks.scale import Scale
from tests.benchmarks.testbed import GRACE, Program, Testbed
from tests.world import fetch_one

SLOW = 0.15
_UNDER_WAY = (
    "select exists (select from grace.jobs where kind = 'capture' and order_id between $1 and $2 "
    "and state in ('scheduled', 'queued', 'running'))"
)
_CALL_OFF = (
    "update grace.jobs set state = 'removed' where kind = 'capture' and state = 'scheduled' "
    "and order_id between $1 and $2"
)
_DONE = (
    "select extract(epoch from max(updated_at) filter (where state = 'done') - $2)::float8 as took, "
    "count(*) filter (where state = 'done') as done from grace.jobs "
    "where kind = 'capture' and order_id between $1 and $3"
)
_CAPTURED = "select count(*) from payment where captured_at is not null and id between $1 and $2"


def measure(scale: Scale, testbed: Testbed) -> list[Figure]:
    """Run it all."""
    return _Drain(testbed, scale).run()


class _Drain:
    def __init__(self, testbed: Testbed, scale: Scale) -> None:
        self._testbed, self._scale = testbed, scale
        self._threads = read_settings(testbed.environment(), Role.WORKER).worker_threads
        self._first = 1

    def run(self) -> list[Figure]:
        scale = self._scale
        rates: dict[tuple[str, int], list[float]] = {}
        for repetition in range(scale.c_repetitions):
            for workers in scale.c_workers:
                for kind in QUEUES:
                    rates.setdefault((kind, workers), []).append(self._noop(kind, workers, scale.c_jobs))
                rates.setdefault(("fast", workers), []).append(self._captures(workers, scale.c_jobs, 0.0))
                told = {kind: f"{values[-1]:.0f}/s" for (kind, count), values in rates.items() if count == workers}
                say(f"c: {repetition + 1}/{scale.c_repetitions}, workers: {workers}, {told}")
        slow = {}
        for workers in scale.c_workers:
            bound = workers * self._threads / SLOW
            slow[workers] = self._captures(workers, min(int(bound * scale.c_seconds), scale.c_jobs), SLOW)
            say(f"c: Stripe at {SLOW * 1000:.0f} ms, workers: {workers}, {slow[workers]:.0f}/s of {bound:.0f}/s")
        asyncio.run(prove(self._testbed, with_stripe=True, but=frozenset({Defect.UNCAPTURED})))  # those called off
        return list(self._figures(rates, slow))

    def _figures(self, rates: dict[tuple[str, int], list[float]], slow: dict[int, float]) -> Iterator[Figure]:
        for workers in self._scale.c_workers:
            ours = rates["fast", workers]
            label = f"{workers} worker{'s' * (workers > 1)}"
            behind: dict[str, Any] = {
                "captures a second": median(ours),
                "no-op coroutines": median(rates["async", workers]),
                "no-op functions": median(rates["sync", workers]),
                "jobs": self._scale.c_jobs,
                "threads a worker": self._threads,
            }
            for kind, target in (("async", ">= 0.25"), ("sync", "")):
                values = tuple(a / b for a, b in zip(ours, rates[kind, workers], strict=True))
                what = "coroutines" if kind == "async" else "functions"
                name = f"captures / dramatiq's no-op {what}, {label}"
                yield Figure("c", name, values, target, made_of=behind if target else {})
        for workers, rate in slow.items():
            bound = workers * self._threads / SLOW
            name = f"captures at 150 ms / what the concurrency allows, {workers} worker{'s' * (workers > 1)}"
            yield Figure("c", name, (rate / bound,), ">= 0.9", made_of={"a second": rate, "bound": bound})
        first, *more = self._scale.c_workers
        for workers in more:
            values = tuple(b / a for a, b in zip(rates["fast", first], rates["fast", workers], strict=True))
            yield Figure("c", f"captures by {workers} workers / by {first}", values)

    def _noop(self, kind: str, workers: int, count: int) -> float:
        """Messages a second, from the first that is fetched to the last that is acknowledged."""
        url = self._testbed.valkey.url(3)
        with redis.Redis.from_url(url) as client:
            client.flushdb()
            broker = make_broker(url)
            actor = declare(broker)[kind]
            for number in range(count):
                broker.enqueue(actor.message(f"{0:026d}", f"{number:026d}", "capture", f"order_{number:026d}", 1))
            broker.close()
            broker.client.connection_pool.disconnect()
            waiting, unfinished, aside = f"grace:{QUEUES[kind]}", f"grace:{QUEUES[kind]}.msgs", "aside"
            client.rename(waiting, aside)
            assert client.hlen(unfinished) == count
            with ExitStack() as stack:
                for program in [stack.enter_context(self._noop_worker(url)) for _ in range(workers)]:
                    await_ready(program.child, program.says("ready"), name="noop", log=program.log)
                client.rename(aside, waiting)
                began = time.perf_counter()
                while client.llen(waiting) == count:
                    time.sleep(0.002)
                    began = time.perf_counter()
                while client.hlen(unfinished):
                    time.sleep(0.005)
                return count / (time.perf_counter() - began)

    @contextmanager
    def _noop_worker(self, url: str) -> Iterator[Program]:
        argv = [sys.executable, "-m", "tests.benchmarks.noop", url, str(self._threads)]
        log = self._testbed.new_log("noop")
        child = spawn(argv, account=None, log=log, on_our_death=signal.SIGKILL, settings=self._testbed.environment())
        try:
            yield Program(child, log)
        finally:
            end(child, signal.SIGTERM)

    def _captures(self, workers: int, count: int, latency: float) -> float:
        """Captures a second by so many workers."""
        testbed = self._testbed
        with testbed.workers(workers):
            self._first += count
            limit = self._scale.c_limit
            return asyncio.run(drain_once(testbed, count, latency, first=self._first - count, limit=limit))


async def drain_once(testbed: Testbed, count: int, latency: float, *, first: int, limit: float) -> float:
    """Let ``count`` captures fall due at once, with workers up. Captures a second, over ``limit`` seconds at most."""
    sandbox = testbed.sandbox
    await sandbox.latency(0)
    conn = await asyncpg.connect(testbed.dsn())
    try:
        if not testbed.templates:
            testbed.templates = await place_templates(testbed, conn)
        intents = await make_holds(sandbox, count)
        await sandbox.latency(latency)
        placed = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=GRACE + 3600)  # tracking looks no more
        batch = await copy_orders(conn, testbed.templates, first=first, count=count, placed_at=placed, intents=intents)
        await conn.execute("vacuum analyze")
        await conn.execute("checkpoint")
        await schedule_captures(conn, batch, datetime.now(UTC))
        due = await conn.fetchval("select now()")  # they came with one commit, just now
        return await _drained(conn, batch, due, limit)
    finally:
        await conn.close()


async def _drained(conn: asyncpg.Connection, batch: Batch, due: datetime, limit: float) -> float:
    """Captures a second from ``due`` until none of the batch waits, or ``limit`` is over. Each is proved to be done."""
    first, last = batch.order_id(batch.first), batch.order_id(batch.first + batch.count)
    deadline = time.monotonic() + limit
    while await conn.fetchval(_UNDER_WAY, first, last):
        if time.monotonic() > deadline:
            await conn.execute(_CALL_OFF, first, last)
            deadline = float("inf")  # those under way end by themselves
        await asyncio.sleep(0.1)
    row = await fetch_one(conn, _DONE, first, due, last)
    payments = batch.id("pay", batch.first), batch.id("pay", batch.first + batch.count)
    captured = await conn.fetchval(_CAPTURED, *payments)
    assert row["done"] == captured, f"{row['done']} done, {captured} captured of {batch.count}"
    assert row["done"] == batch.count or row["took"] > limit * 0.9, f"{row['done']} of {batch.count} captured"
    return float(row["done"] / row["took"])
