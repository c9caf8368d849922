"""The deadline is a promise: no capture of ours makes a shopper late who asked in time, whatever the clocks say.

Requests come within 200 ms of the end of their order's grace period, a real worker captures whatever is due a few
seconds later, and somebody holds the order's row for a while. When a request was received is judged by the database's
clock, as exactly as it can be measured from here: the look at that clock takes its time, and a busy event loop reads
answers late. Requests so near the deadline that this matters prove nothing, and neither does one that a busy machine
answered with 503: more are made in their stead.
"""

from __future__ import annotations

import asyncio
import logging
import random
import re
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any, Self

import asyncpg
import msgspec
import pytest

from app.embedded.shop import STRIPE, Line, Payment, PlacedOrder, place_order
from app.embedded.stripe_sandbox.client import Sandbox
from app.http import admission, store_orders
from app.settings import Settings
from app.usecases import cancel_order
from tests.promises import broken_promises
from tests.world import Api, Shop, eventually, serving, settings_for, working

GRACE = timedelta(seconds=3)
AHEAD = timedelta(seconds=0.5)
"""How long before its deadline an order is placed."""
AROUND_MS = 200
LONGEST_HOLD = 0.3
AT_ONCE = 24
SKEWS = {"right": (0, 0), "API ahead": (900, -900), "API behind": (-900, 900)}
"""Seconds by which the wall clocks of API and worker differ from the database's."""

_ROOT = Path(__file__).resolve().parents[2]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Asked:
    """One request, and between which moments of the database's clock it was received."""

    order: PlacedOrder
    earliest: datetime
    latest: datetime
    status: int
    body: dict[str, Any]

    @property
    def verdict(self) -> str:
        deadline = self.order.created_at + GRACE
        if self.latest < deadline:
            return "in time"
        return "too late" if self.earliest >= deadline else "on the line"

    @property
    def proves(self) -> bool:
        """Whether the answer may be held against the code."""
        return self.verdict != "on the line" and self.status != 503

    @property
    def wrong(self) -> str | None:
        if self.status == 503:
            return None
        expected = {"in time": {200}, "too late": {409}, "on the line": {200, 409}}[self.verdict]
        if self.status in expected:
            return None
        left = (self.order.created_at + GRACE - self.latest).total_seconds() * 1000
        return f"{self.order.id}: {self.verdict} ({left:+.1f} ms left), answered {self.status} {self.body}"


class FirstLooks:
    """Stands for ``time`` in a module, and keeps the first look at it of each task."""

    def __init__(self) -> None:
        self.of: dict[Any, float] = {}

    def monotonic(self) -> float:
        return self.of.setdefault(asyncio.current_task(), time.monotonic())


@dataclass
class Ground:
    """A shop, an API, and how late the event loop is."""

    shop: Shop
    api: Api
    pool: asyncpg.Pool
    receipts: FirstLooks
    """Of the handlers: a request was received."""
    decisions: FirstLooks
    """Of the use case: an order was read without waiting for anybody, and is decided on."""
    lags: list[tuple[float, float]] = field(default_factory=list)

    async def ask(self, dice: random.Random) -> Asked:
        """Cancel an order around its deadline, while somebody holds its row."""
        intent = await self.shop.sandbox.authorize(2974, "eur")
        async with self.pool.acquire() as conn:
            clock = [time.monotonic(), await conn.fetchval("select clock_timestamp()"), time.monotonic()]
            held = [Payment(provider_id=STRIPE, intent=intent)]
            order = await place_order(
                conn, lines=[Line(managed=False)], payments=held, placed_ago=GRACE - AHEAD, now=clock[1]
            )
        before, now, after = clock
        wanted = AHEAD.total_seconds() + dice.uniform(-AROUND_MS, AROUND_MS) / 1000
        hold = dice.random() * LONGEST_HOLD if dice.random() < 0.7 else 0.0
        await asyncio.sleep(max(after + wanted - 0.05 - time.monotonic(), 0))
        holding = asyncio.create_task(self._hold(order, 0.05 + hold))
        await asyncio.sleep(max(after + wanted - time.monotonic(), 0))
        answer = await self.api.cancel(order.id)
        received = self.receipts.of.pop(asyncio.current_task())
        read_by = self.decisions.of.pop(asyncio.current_task(), received)
        answered = time.monotonic()
        await holding
        # The database's clock is read somewhere between the receipt and the decision, or under the lock, and then the
        # answer has only to come through the event loop.
        lag = max((late for at, late in self.lags if received <= at <= answered + 0.1), default=0.0)
        lag = max(lag, read_by - received)
        earliest = now + timedelta(seconds=received - after - lag - 0.01)
        return Asked(order, earliest, now + timedelta(seconds=received - before), answer.status_code, answer.json())

    async def _hold(self, order: PlacedOrder, seconds: float) -> None:
        async with self.pool.acquire() as conn, conn.transaction():
            await conn.execute('select id from "order" where id = $1 for update', order.id)
            await asyncio.sleep(seconds)

    async def watch_the_loop(self) -> None:
        while True:
            began = time.monotonic()
            await asyncio.sleep(0.005)
            late = time.monotonic() - began - 0.005
            self.lags = [*self.lags[-2000:], (time.monotonic(), late)]


@pytest.fixture
def settings(database: str, redis_url: str, sandbox: Sandbox) -> Settings:
    """Five seconds from the deadline to the capture, longer than anybody here waits for a lock; nobody is rate
    limited."""
    changes = {
        "GRACE_PERIOD_SECONDS": str(GRACE.seconds),
        "VOID_WAIT_SECONDS": "0",
        "MEDUSA_EVENTS": "off",
        "DATABASE_POOL_SIZE": "32",
        "RATE_LIMIT_PER_ADDRESS": "0",
    }
    settings = settings_for(database, redis_url, sandbox, **changes)
    policy = msgspec.structs.replace(settings.policy, capture_delay=timedelta(seconds=5))
    return msgspec.structs.replace(settings, policy=policy)


@pytest.mark.parametrize("clocks", SKEWS)
async def test_who_asks_in_time_is_not_late(
    settings: Settings, shop: Shop, database: str, monkeypatch: pytest.MonkeyPatch, clocks: str
) -> None:
    await _ask(settings, shop, database, monkeypatch, clocks, requests=24, seed=11)


@pytest.mark.long
@pytest.mark.parametrize("clocks", SKEWS)
async def test_ten_thousand_ask_around_the_deadline(
    settings: Settings,
    shop: Shop,
    database: str,
    monkeypatch: pytest.MonkeyPatch,
    clocks: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING, logger="app")
    await _ask(settings, shop, database, monkeypatch, clocks, requests=3_334, seed=random.randrange(2**32))


def test_wall_clocks_of_processes_decide_nothing_about_orders() -> None:
    """What the skewed clocks of the other tests reach is all there is: deadlines and leases are told by Postgres."""
    looks = re.compile(r"\.(now|utcnow|today)\(|\btime\.(time|time_ns|localtime|gmtime)\(")
    sources = [path for folder in ("app", "plugins", "workers") for path in (_ROOT / folder).rglob("*.py")]
    found = {path.relative_to(_ROOT).as_posix() for path in sources if looks.search(path.read_text())}
    assert {path for path in found if not path.startswith("app/embedded/")} == {
        "app/gateways/alert_webhook.py",  # when an alert says that it was sent
        "app/gateways/stripe_hints.py",  # how old Stripe's signature says that it is
        "app/http/operator/guesses.py",  # which minute it is, for the limit of sign-in attempts
        "app/gateways/redis_limits.py",  # which minute it is, for the rate limit
        "app/gateways/stripe_gateway.py",  # when a call was made, to be shown
        "app/http/operator/session.py",  # the end of a session
        "app/http/operator/views.py",  # how long ago, to be shown
        "app/http/tokens.py",  # the end of a minted token
        "plugins/medusa_bridge/customers.py",  # how old a customer's token is
        "plugins/medusa_bridge/events.py",  # when an event says that it was sent
    }


async def _ask(
    settings: Settings,
    shop: Shop,
    database: str,
    monkeypatch: pytest.MonkeyPatch,
    clocks: str,
    *,
    requests: int,
    seed: int,
) -> None:
    """``requests`` that prove something, or at least as many in all where the machine is too slow to tell."""
    _skew(monkeypatch, *SKEWS[clocks])
    receipts, decisions, dice, asked = FirstLooks(), FirstLooks(), random.Random(seed), list[Asked]()
    monkeypatch.setattr(store_orders, "time", receipts)
    monkeypatch.setattr(admission, "time", decisions)  # where the order is read that the first attempt decides on
    monkeypatch.setattr(cancel_order, "time", decisions)
    async with _ground(settings, shop, database, receipts, decisions) as ground, working(settings):
        gate = asyncio.Semaphore(AT_ONCE)

        async def one() -> None:
            async with gate:
                asked.append(await ground.ask(dice))

        for _ in range(4):
            missing = requests - sum(request.proves for request in asked)
            await asyncio.gather(*(asyncio.create_task(one()) for _ in range(missing)))
        await eventually(_at_rest(shop), within=60, message="captures and voids do not end")

    verdicts = Counter(request.verdict if request.status != 503 else "answered 503" for request in asked)
    log.warning("%s clocks: %s, seed %s", clocks, verdicts, seed)
    assert [request.wrong for request in asked if request.wrong] == [], f"seed {seed}, {verdicts}"
    captured = await shop.conn.fetchval("select count(*) from payment where captured_at is not null")
    canceled = await shop.conn.fetchval("select count(*) from \"order\" where status = 'canceled'")
    assert canceled == sum(request.status == 200 for request in asked)
    assert captured + canceled == len(asked)
    assert await broken_promises(shop, shop.sandbox) == []
    if not (verdicts["in time"] and verdicts["too late"]):
        pytest.skip(f"nothing can be told on a machine so busy: {verdicts}")


def _skew(monkeypatch: pytest.MonkeyPatch, of_api: float, of_worker: float) -> None:
    """Wrong wall clocks for this thread, which is the API's, and for all others, which are the worker's."""
    here, real, real_ns = threading.get_ident(), time.time, time.time_ns

    def wrong() -> float:
        return of_api if threading.get_ident() == here else of_worker

    class Wrong(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            return cls.fromtimestamp(real() + wrong(), tz)

    monkeypatch.setattr(time, "time", lambda: real() + wrong())
    monkeypatch.setattr(time, "time_ns", lambda: real_ns() + int(wrong() * 1e9))
    for module in ("app.http.tokens", "plugins.medusa_bridge.events", "jwt.api_jwt"):
        monkeypatch.setattr(f"{module}.datetime", Wrong)


@asynccontextmanager
async def _ground(
    settings: Settings, shop: Shop, database: str, receipts: FirstLooks, decisions: FirstLooks
) -> AsyncIterator[Ground]:
    async with (
        serving(settings, shop.key) as api,
        asyncpg.create_pool(database, min_size=AT_ONCE, max_size=2 * AT_ONCE) as pool,
    ):
        ground = Ground(shop, api, pool, receipts, decisions)
        watcher = asyncio.create_task(ground.watch_the_loop())
        yield ground
        watcher.cancel()


def _at_rest(shop: Shop) -> Callable[[], Awaitable[bool]]:
    async def at_rest() -> bool:
        waiting = "select count(*) from grace.jobs where state in ('scheduled', 'queued', 'running')"
        untracked = "select count(*) from payment as p where not exists (select from grace.jobs where subject = p.id)"
        return not await shop.conn.fetchval(waiting) and not await shop.conn.fetchval(untracked)

    return at_rest
