"""(e) Memory, latency while captures drain, and more clients than can be served.

The crowd is far more clients than can be served (see ``crowd``), with the worker held, against the same API's pace with
eight clients just before. It comes once, so its figures are those of one run; only that pace has another to be against.

Memory is the proportional set size (PSS) of a process with its children: pages that they share count once. It is
what it is, against nothing.

The captures are of Medusa's own manual provider, so that no stand-in of Stripe takes its share of the machine. "While
captures drain" is against the same processes with nothing due, in turns in the same run: for cancels, which leave jobs,
that takes a worker that is held until the cancels are over.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import mean, median

import asyncpg

from app.domain.findings import Defect
from app.embedded.shop import Payment
from tests.benchmarks import load
from tests.benchmarks.cancels import Orders, furnish, place_templates
from tests.benchmarks.crowd import Storm
from tests.benchmarks.figures import Figure, say
from tests.benchmarks.orders import copy_orders, schedule_captures
from tests.benchmarks.proof import prove
from tests.benchmarks.scale import Scale
from tests.benchmarks.testbed import GRACE, SHOP, Program, Testbed

API_MB, WORKER_MB = 120, 150
CLIENTS = 4
LONGEST_RECOVERY = LONGEST_REST = 120


def measure(scale: Scale, testbed: Testbed) -> list[Figure]:
    """Run it all."""
    say(f"e: {scale.e_orders} orders to cancel, {scale.e_waiting} captures to wait")
    orders = Orders(asyncio.run(furnish(testbed, scale.e_orders, Payment())))
    with testbed.serve(VOID_WAIT_SECONDS="0") as api, testbed.workers() as [worker]:
        return list(_House(testbed, scale, orders, api, worker).figures())


class Memory:
    """Samples of a program's memory while a block runs, in MB."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self.samples: list[float] = []

    def now(self) -> float:
        """PSS of the program and its children."""
        return sum(_pss(pid) for pid in self._program.pids())

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Sample until the block ends."""
        over = threading.Event()

        def watch() -> None:
            while not over.wait(0.5):
                self.samples.append(self.now())

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            self.samples.append(self.now())


class _House:
    def __init__(self, testbed: Testbed, scale: Scale, orders: Orders, api: Program, worker: Program) -> None:
        self._testbed, self._scale, self._orders = testbed, scale, orders
        self._api, self._worker = api, worker
        self._memory = {"API": Memory(api), "worker": Memory(worker)}
        self._first = 20_000_000

    def figures(self) -> Iterator[Figure]:
        scale = self._scale
        rest = {name: memory.now() for name, memory in self._memory.items()}
        self._cancel(8, 0.5)
        self._look(8, 0.5)
        self._rest()
        quiet_reads, quiet_cancels, busy_reads, busy_cancels = [], [], [], []
        with self._memory["API"].watched(), self._memory["worker"].watched():
            for turn in range(scale.e_turns):
                quiet_reads.append(self._look(CLIENTS, scale.e_seconds / 4).median_ms)
                with self._worker_held():
                    quiet_cancels.append(self._cancel(CLIENTS, scale.e_seconds / 4).median_ms)
                self._rest()
                asyncio.run(self._fall_due(scale.e_waiting))
                busy_reads.append(self._look(CLIENTS, scale.e_seconds / 4).median_ms)
                busy_cancels.append(self._cancel(CLIENTS, scale.e_seconds / 4).median_ms)
                waiting = asyncio.run(self._call_off())
                assert waiting, "the captures were all done before the latencies were measured: raise e_waiting"
                self._rest()
                say(
                    f"e: {turn + 1}/{scale.e_turns}, while captures drain: reads {busy_reads[-1]:.1f} ms instead of "
                    f"{quiet_reads[-1]:.1f}, cancels {busy_cancels[-1]:.1f} instead of {quiet_cancels[-1]:.1f}"
                )
        for name, bound in (("API", API_MB), ("worker", WORKER_MB)):
            samples = self._memory[name].samples
            third = len(samples) // 3 or 1
            made = {"at rest": rest[name], "most": max(samples), "jobs waiting": scale.e_waiting}
            yield Figure("e", f"memory of the {name}, MB", (max(samples),), f"<= {bound}", "MB", made)
            growth = mean(samples[-third:]) / mean(samples[third : 2 * third] or samples)
            yield Figure("e", f"memory of the {name}: last third / middle third", (growth,), "<= 1.1")
        yield from (
            Figure("e", f"{what} while captures drain / with none due, median", _ratios(busy, quiet),
                   made_of={"ms": median(busy), "ms with none due": median(quiet)})
            for what, busy, quiet in (("GET", busy_reads, quiet_reads), ("cancel", busy_cancels, quiet_cancels))
        )  # fmt: skip
        yield from self._overload()
        asyncio.run(prove(self._testbed, with_stripe=False, but=frozenset({Defect.UNCAPTURED})))  # those called off

    def _overload(self) -> Iterator[Figure]:
        """A crowd, each with an order of his own, while the worker is held: what is measured is the API's own way."""
        scale, testbed = self._scale, self._testbed
        with self._worker_held():
            before = self._cancel(8, scale.e_seconds / 4)
            count = scale.e_overload + int(before.rate * scale.e_storm * 2)
            ids = [self._orders.batch.order_id(number) for number in self._orders.take(count)]
            requests = load.cancels(ids, testbed.keys[SHOP], testbed.secret)
            storm = Storm(self._api.port, requests, scale.e_storm)
            with self._memory["API"].watched(), ThreadPoolExecutor(1) as pool:
                raging = pool.submit(storm.rage, scale.e_overload)
                storm.over.wait()
                took = self._recover()
                flood = raging.result()
            after = self._cancel(8, scale.e_seconds / 4)
        served = flood.count(200)
        assert set(flood.latencies) <= {200, 503}, {status: len(took) for status, took in flood.latencies.items()}
        assert flood.unused, "the crowd shrank before its time: each cancel takes a request, and there were too few"
        assert not flood.without_hint, f"{flood.without_hint} of {flood.count(503)} 503 had no Retry-After"
        canceled = asyncio.run(_canceled(testbed, ids))
        lost = flood.lost.total()
        assert served <= canceled <= served + lost, f"{canceled} orders are canceled, {served} answers said so"
        label = f"{scale.e_overload} clients at once"
        made = {"canceled": served, "told to come later": flood.count(503), "not answered": lost,
                "median ms of a cancel": median(flood.latencies.get(200, [0.0])) * 1000,
                "of a refusal": median(flood.latencies.get(503, [0.0])) * 1000}  # fmt: skip
        say(f"e: {label}: {made}, {dict(flood.lost)}")
        yield Figure("e", f"{label}: share that was answered", (1 - lost / (lost + flood.total),), ">= 1", made_of=made)
        yield Figure("e", f"{label}: longest answer, s", (flood.longest,), "<= 10", "s")
        rate = flood.served_meanwhile / flood.seconds
        rates = {"a second": rate, "by 8 clients": before.rate,
                 "clients' share of a core": flood.cpu_seconds / flood.seconds}  # fmt: skip
        yield Figure("e", f"{label}: cancels / by 8 clients", (rate / before.rate,), made_of=rates)
        yield Figure("e", f"{label}: until all are served again, s", (took,), "<= 10", "s")
        yield Figure("e", f"{label}: cancels afterwards / before", (after.rate / before.rate,), ">= 0.8")
        most = max(self._memory["API"].samples)
        yield Figure("e", f"memory of the API with {label}, MB", (most,), f"<= {API_MB}", "MB")

    def _recover(self) -> float:
        """Seconds until eight clients are all served. Whoever came before the end is still in the server's queue."""
        began = time.monotonic()
        while set(self._send(8, 0.1).statuses) != {200}:
            assert time.monotonic() - began < LONGEST_RECOVERY, "the API did not come to itself"
        return time.monotonic() - began

    def _send(self, clients: int, seconds: float) -> load.Load:
        """Cancels, each of an order of its own."""
        count = max(int(seconds * 800), clients * 2)
        ids = [self._orders.batch.order_id(number) for number in self._orders.take(count)]
        requests = load.cancels(ids, self._testbed.keys[SHOP], self._testbed.secret)
        return load.run(self._api.port, requests, clients, seconds=seconds)

    def _cancel(self, clients: int, seconds: float) -> load.Load:
        done = self._send(clients, min(seconds, 10))
        assert set(done.statuses) == {200}, f"{done.statuses}: {done.bodies.most_common(2)}"
        return done

    def _look(self, clients: int, seconds: float) -> load.Load:
        ids = [self._orders.batch.order_id(number) for number in self._orders.batch.numbers[-2000:]]
        requests = load.cancels(ids, self._testbed.keys[SHOP], self._testbed.secret, method="GET")
        done = load.run(self._api.port, requests, clients, seconds=min(seconds, 10))
        assert set(done.statuses) == {200}, f"{done.statuses}: {done.bodies.most_common(2)}"
        return done

    async def _fall_due(self, count: int) -> None:
        """So many captures, all of them due now."""
        conn = await asyncpg.connect(self._testbed.dsn())
        try:
            if not self._testbed.templates:
                self._testbed.templates = await place_templates(self._testbed, conn, Payment())
            placed = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=GRACE + 3600)
            batch = await copy_orders(conn, self._testbed.templates, first=self._first, count=count, placed_at=placed)
            self._first += count
            await conn.execute("vacuum analyze")
            await schedule_captures(conn, batch, datetime.now(UTC))
        finally:
            await conn.close()

    async def _call_off(self) -> int:
        """Take out the captures that are left. How many."""
        conn = await asyncpg.connect(self._testbed.dsn())
        try:
            done = await conn.execute(
                "update grace.jobs set state = 'removed' "
                "where kind = 'capture' and state = 'scheduled' and run_at < now()"
            )
            return int(done.rpartition(" ")[2])
        finally:
            await conn.close()

    def _rest(self) -> None:
        """Return once nothing is due."""
        deadline = time.monotonic() + LONGEST_REST
        while due := asyncio.run(_due(self._testbed)):
            assert time.monotonic() < deadline, f"{due} jobs are still due after {LONGEST_REST} s"
            time.sleep(0.2)

    @contextmanager
    def _worker_held(self) -> Iterator[None]:
        """The worker stands still, so that the API has the machine to itself and what it leaves to do is not done."""
        pid = self._worker.child.pid
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)


async def _canceled(testbed: Testbed, ids: list[str]) -> int:
    conn = await asyncpg.connect(testbed.dsn())
    try:
        statement = "select count(*) from \"order\" where id = any($1) and status = 'canceled'"
        return int(await conn.fetchval(statement, ids))
    finally:
        await conn.close()


async def _due(testbed: Testbed) -> int:
    conn = await asyncpg.connect(testbed.dsn())
    try:
        return int(
            await conn.fetchval(
                "select count(*) from grace.jobs where state in ('queued', 'running') "
                "or (state = 'scheduled' and run_at < now())"
            )
        )
    finally:
        await conn.close()


def _pss(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:")), 0.0)


def _ratios(busy: list[float], quiet: list[float]) -> tuple[float, ...]:
    return tuple(a / b for a, b in zip(busy, quiet, strict=True))
