"""(a) A cancel to the committed answer, against pgbench running the same statements on orders of the same kind.

Fair, since pgbench sends what the product sent (recorded from it), prepared, as the same role, to the same server with
the same durable settings, from as many clients, in turns with the product in the same run, in an order that moves on
from repetition to repetition; and it neither reads HTTP nor checks a token nor asks Redis for the rate limits, all of
which are switched on for the product. The load generator's share of the machine counts against the product.

pgbench makes the very calls that the product makes.
"""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

import asyncpg

from app.domain.findings import Defect
from app.embedded.shop import STRIPE, Payment, place_order
from tests.benchmarks import load
from tests.benchmarks.figures import Figure, say
from tests.benchmarks.orders import Batch, copy_orders, schedule_captures
from tests.benchmarks.proof import prove
from tests.benchmarks.scale import Scale
from tests.benchmarks.statements import Timing, as_script, pgbench, record_cancel, yardstick
from tests.benchmarks.testbed import GRACE, SHOP, Testbed

PGBENCH = ("calls", "yardstick")
"""The very calls that the product makes; four statements that are always the same."""
WARM_CANCELS = 4
"""Of which the last two are recorded."""
NO_WORKERS = frozenset({Defect.JOB_STUCK})
BY_STRIPE = Payment(provider_id=STRIPE)


@dataclass
class Series:
    """What one contestant did at one number of clients."""

    rates: list[float] = field(default_factory=list)
    medians: list[float] = field(default_factory=list)


class Orders:
    """A heap of orders from which everybody takes his own: none is canceled twice."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        self._next = batch.first

    def take(self, count: int) -> range:
        """Numbers that nobody has had."""
        first, self._next = self._next, self._next + count
        assert self._next <= self.batch.first + self.batch.count, "the orders are used up; --quick needs fewer"
        return range(first, self._next)


def measure(scale: Scale, testbed: Testbed) -> list[Figure]:
    """Run it all."""
    with tempfile.TemporaryDirectory(prefix="grace-bench-") as folder:
        Path(folder).chmod(0o755)
        say(f"a: {scale.a_orders} orders")
        batch = asyncio.run(furnish(testbed, scale.a_orders))
        orders = Orders(batch)
        contest = _Contest(testbed, orders, Path(folder), scale)
        return contest.run()


async def furnish(testbed: Testbed, count: int, paid: Payment = BY_STRIPE) -> Batch:
    """Orders within their grace period, with the capture jobs that wait for its end."""
    conn = await asyncpg.connect(testbed.dsn())
    try:
        templates = await place_templates(testbed, conn, paid)
        now = datetime.now(UTC).replace(microsecond=0)
        batch = await copy_orders(conn, templates, first=1, count=count, placed_at=now)
        await schedule_captures(conn, batch, now + timedelta(seconds=GRACE + 30))
        await conn.execute("vacuum analyze")
        await conn.execute("checkpoint")
        return batch
    finally:
        await conn.close()


async def place_templates(testbed: Testbed, conn: asyncpg.Connection, paid: Payment = BY_STRIPE) -> list[str]:
    """Orders to copy from, each with stock of its own."""
    return [(await place_order(conn, payments=[paid])).id for _ in range(testbed.kinds)]


class _Contest:
    def __init__(self, testbed: Testbed, orders: Orders, folder: Path, scale: Scale) -> None:
        self._testbed, self._orders, self._folder, self._scale = testbed, orders, folder, scale
        self._series: dict[tuple[str, int], Series] = {}
        self._trips = 0
        self._client_us: list[float] = []
        self._by_yardstick: set[str] = set()
        self._canceled = 0

    def run(self) -> list[Figure]:
        scale, testbed = self._scale, self._testbed
        asyncio.run(self._scripts())
        for name in PGBENCH:
            self._prove(name)
        say(f"a: one cancel is so many round trips to Postgres: {self._trips}")
        with ExitStack() as stack:
            ports = {
                f"serve x{processes}": stack.enter_context(testbed.serve(processes, VOID_WAIT_SECONDS="0")).port
                for processes in scale.a_processes
            }
            live = load.run(next(iter(ports.values())), load.plain("/health/live", scale.a_least * 4), 8)
            for port in ports.values():
                self._product(port, 8, scale.a_least, keep=None)  # statements get prepared, pools grow
            contestants = [*PGBENCH, *ports]
            for repetition in range(scale.repetitions):
                for clients in scale.a_clients:
                    for name in contestants:
                        series = self._series.setdefault((name, clients), Series())
                        if name in ports:
                            self._product(ports[name], clients, self._aim(series, clients), keep=series)
                        else:
                            self._pgbench(name, clients, series)
                    told = {k[0]: f"{v.rates[-1]:.0f}/s" for k, v in self._series.items() if k[1] == clients}
                    say(f"a: {repetition + 1}/{scale.repetitions}, {clients} clients: {told}")
                contestants.append(contestants.pop(0))  # whoever is first finds the disk as nobody else does
        canceled = asyncio.run(_counts(testbed))["orders"]
        assert canceled == self._canceled + WARM_CANCELS, f"{canceled} orders canceled by {self._canceled} cancels"
        asyncio.run(prove(testbed, with_stripe=False, but=NO_WORKERS, but_orders=frozenset(self._by_yardstick)))
        return [*self._figures(), Figure(
            "a", "client's own cost, against a cancel at 8 clients", (median(self._client_us) * self._rate() / 1e6,),
            unit="of a core", made_of={"us a request": median(self._client_us), "health/live a second": live.rate},
        )]  # fmt: skip

    def _rate(self) -> float:
        name = f"serve x{self._scale.a_processes[0]}"
        return median(self._series[name, 8 if 8 in self._scale.a_clients else self._scale.a_clients[0]].rates)

    async def _scripts(self) -> None:
        numbers = list(self._orders.take(WARM_CANCELS))
        batch = self._orders.batch
        sent = await record_cancel(self._testbed, batch, numbers)
        conn = await asyncpg.connect(self._testbed.role_dsn())
        try:
            self._trips = len(sent)
            (self._folder / "calls.sql").write_text(await as_script(conn, sent, batch, numbers[-1]))
            (self._folder / "yardstick.sql").write_text(yardstick(batch))
        finally:
            await conn.close()

    def _prove(self, name: str) -> None:
        """A script that cancels nothing, or something else, would be a false yardstick."""
        before = asyncio.run(_counts(self._testbed))
        numbers = self._orders.take(20)
        timing = pgbench(self._testbed.role_dsn(), self._folder / f"{name}.sql", clients=2, each=10, base=numbers[0])
        after = asyncio.run(_counts(self._testbed))
        rose = {what: after[what] - before[what] for what in after}
        assert timing.transactions == 20
        assert {rose["orders"], rose["payments"], rose["cancellations"]} == {20}, rose
        if name != "yardstick":
            assert (rose["jobs"], rose["captures waiting"]) == (60, -20), rose
        self._note(name, numbers)

    def _note(self, name: str, numbers: range) -> None:
        self._canceled += len(numbers)
        if name == "yardstick":
            self._by_yardstick |= {self._orders.batch.order_id(number) for number in numbers}

    def _pgbench(self, name: str, clients: int, series: Series) -> None:
        each = max(self._aim(series, clients) // clients, 10)
        numbers = self._orders.take(each * clients)
        script = self._folder / f"{name}.sql"
        timing: Timing = pgbench(self._testbed.role_dsn(), script, clients=clients, each=each, base=numbers[0])
        self._note(name, numbers)
        series.rates.append(timing.rate)
        series.medians.append(timing.median_ms)

    def _aim(self, series: Series, clients: int) -> int:
        """Enough for a while at the pace of last time."""
        if not series.rates:
            return self._scale.a_least * (1 if clients == 1 else 3)
        return max(int(series.rates[-1] * self._scale.a_seconds), self._scale.a_least)

    def _product(self, port: int, clients: int, count: int, *, keep: Series | None) -> None:
        ids = [self._orders.batch.order_id(number) for number in self._orders.take(count)]
        done = load.run(port, load.cancels(ids, self._testbed.keys[SHOP], self._testbed.secret), clients)
        assert done.statuses == {200: count}, f"{done.statuses}: {done.bodies.most_common(2)}"
        self._canceled += count
        if keep is not None:
            keep.rates.append(done.rate)
            keep.medians.append(done.median_ms)
            self._client_us.append(done.client_us)

    def _figures(self) -> list[Figure]:
        made = []
        for processes in self._scale.a_processes:
            for clients in self._scale.a_clients:
                ours = self._series[f"serve x{processes}", clients]
                calls, yard = (self._series[name, clients] for name in PGBENCH)
                behind = {
                    "cancels a second": median(ours.rates),
                    "pgbench": median(calls.rates),
                    "its yardstick": median(yard.rates),
                    "median ms": median(ours.medians),
                    "of pgbench": median(calls.medians),
                    "round trips": self._trips,
                }
                label = f"{clients} client{'s' * (clients > 1)}, {processes} API process{'es' * (processes > 1)}"
                values = tuple(a / b for a, b in zip(ours.rates, calls.rates, strict=True))
                made.append(Figure("a", f"cancels / pgbench's, {label}", values, made_of=behind))
                steady = tuple(a / b for a, b in zip(ours.rates, yard.rates, strict=True))
                made.append(Figure("a", f"cancels / the fixed yardstick's, {label}", steady))
        return made


async def _counts(testbed: Testbed) -> dict[str, int]:
    conn = await asyncpg.connect(testbed.dsn())
    try:
        row = await conn.fetchrow(
            "select (select count(*) from \"order\" where status = 'canceled') as orders, "
            "(select count(*) from payment where canceled_at is not null) as payments, "
            "(select count(*) from grace.cancellations) as cancellations, "
            "(select count(*) from grace.jobs where kind <> 'capture') as jobs, "
            "(select count(*) from grace.jobs where kind = 'capture' and state = 'scheduled') as \"captures waiting\""
        )
        assert row is not None
        return dict(row)
    finally:
        await conn.close()
