"""Captures wait for the budget of requests to Stripe as due rows; voids do not stand behind them."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from app.domain.jobs import JobKind
from app.domain.token_bucket import burst_of
from app.embedded.shop import PlacedOrder
from app.embedded.stripe_sandbox.client import Sandbox
from app.ports import Connection, Services
from app.ports.stripe_budget import CLASS_OF, CallClass
from app.usecases.cancel_order import Canceled
from app.usecases.run_job import run_job
from tests.monitoring.metrics import sample
from tests.usecases.hand import Hand, opened
from tests.world import Shop, SteppedIn, eventually, settings_for, working
from workers.allowance import KEPT, Allowance
from workers.relay import PACED, UNPACED, Relay

BUDGET = 5
WAITING = 20


@dataclass
class Budget:
    """Grants so many requests, and keeps what it was asked."""

    left: float = float("inf")
    taken: list[tuple[CallClass, int]] = field(default_factory=list)
    charged: list[int] = field(default_factory=list)

    async def take(self, call_class: CallClass, wanted: int) -> int:
        granted = int(min(wanted, self.left))
        self.left -= granted
        self.taken.append((call_class, granted))
        return granted

    async def charge(self, requests: int) -> None:
        self.charged.append(requests)

    async def slow_down(self) -> None:
        """See ``StripeBudget``."""


async def test_a_rush_of_captures_keeps_to_the_budget_and_a_cancel_amid_it_is_voided_at_once(
    shop: Shop, database: str, redis_url: str, sandbox: Sandbox
) -> None:
    settings = settings_for(
        database, redis_url, sandbox, STRIPE_REQUESTS_PER_SECOND=str(BUDGET), MEDUSA_EVENTS="off", VOID_WAIT_SECONDS="0"
    )
    due = [await shop.place() for _ in range(WAITING)]
    late = await shop.place()
    async with opened(settings) as services:
        hand = Hand(services, shop)
        for order in [*due, late]:
            await hand.schedule(order, JobKind.CAPTURE)
        await shop.conn.execute("update grace.jobs set run_at = now() + interval '1 s' where order_id = $1", late.id)
        before = len(await sandbox.requests())
        async with working(settings):
            began = time.monotonic()
            await asyncio.sleep(1.2)
            states = Counter(await _states(shop))
            assert states["scheduled"] >= WAITING / 2, f"{states}: what waits for the budget waits as a due row"
            assert states["running"] + states["queued"] <= burst_of(BUDGET)
            assert isinstance(await hand.cancel(late), Canceled), "its capture is due, and has not begun"
            canceled = time.monotonic()
            await eventually(lambda: _is_done(shop, late, JobKind.VOID))
            assert time.monotonic() - canceled < 1.5
            made = len(await sandbox.requests()) - before
            in_hand = sum(KEPT.values())
            assert made <= burst_of(BUDGET) + in_hand + BUDGET * (time.monotonic() - began)
            await eventually(lambda: _all_captured(shop, due), within=20)
            assert time.monotonic() - began > (WAITING - burst_of(BUDGET) - in_hand) / BUDGET
    assert [len(await shop.calls(order, "capture")) for order in due] == [1] * WAITING
    assert await shop.conn.fetchval("select max(attempts) from grace.jobs") == 1, "no lease lapsed in a wait"
    assert sample("grace_job_wait_seconds_count", kind="capture") >= WAITING


async def test_without_budget_nothing_is_queued_claimed_or_locked(shop: Shop, settings_of_one: Any) -> None:
    order, voided = await shop.place(), await shop.place()
    async with opened(settings_of_one) as services:
        hand = Hand(services, shop)
        await hand.schedule(order, JobKind.CAPTURE)
        await hand.schedule(order, JobKind.LOOK)
        await hand.schedule(voided, JobKind.VOID)
        relay = _relay(services, Budget(left=0))
        assert await relay._dispatch(PACED) == (0, False)
        assert await relay._dispatch(UNPACED) == (0, False)
        rows = await shop.conn.fetch("select state, generation, lease_until from grace.jobs")
        assert {tuple(row) for row in rows} == {("scheduled", 0, None)}


async def test_what_does_not_call_stripe_waits_for_no_budget(shop: Shop, settings_of_one: Any) -> None:
    order = await shop.place()
    async with opened(settings_of_one) as services:
        await Hand(services, shop).schedule(order, JobKind.RELEASE)
        assert await _relay(services, Budget(left=0))._dispatch(UNPACED) == (1, False)


async def test_many_voids_are_queued_one_dispatch_right_after_the_other(shop: Shop, settings_of_one: Any) -> None:
    orders = [await shop.place() for _ in range(11)]
    async with opened(settings_of_one) as services:
        hand = Hand(services, shop)
        for order in orders:
            await hand.schedule(order, JobKind.VOID)
        relay = _relay(services, Budget())
        assert [await relay._dispatch(UNPACED) for _ in range(3)] == [(4, True), (7, False), (0, False)]


async def test_an_allowance_takes_what_it_used_twice_over_and_forgets_the_rest() -> None:
    budget = Budget()
    allowance = Allowance(JobKind.CAPTURE, budget)
    for used, left in [(1, 2), (2, 4), (4, 8), (3, 6), (0, 1)]:
        await allowance.top_up()
        allowance.use(used)
        await allowance.top_up()
        assert allowance.left == left
    assert {call_class for call_class, _ in budget.taken} == {CallClass.CAPTURE}
    asked = len(budget.taken)
    allowance.use(0)
    await allowance.top_up()
    assert len(budget.taken) == asked, "an idle relay asks Redis for nothing"


@pytest.mark.parametrize(
    ("kind", "attempts", "charged"),
    [
        (JobKind.CAPTURE, 0, 0),
        (JobKind.CAPTURE, 1, 1),
        (JobKind.VOID, 0, 0),
        (JobKind.VOID, 1, 1),
        (JobKind.LOOK, 0, 0),
    ],
)
async def test_a_retry_costs_two_requests(
    shop: Shop, settings_of_one: Any, kind: JobKind, attempts: int, charged: int
) -> None:
    """The retrieve, and the call. The relay took one."""
    order = await shop.place()
    async with opened(settings_of_one) as services:
        hand = Hand(services, shop)
        if kind is JobKind.VOID:
            await hand.cancel(order)
        await hand.schedule(order, kind)
        await shop.conn.execute("update grace.jobs set attempts = $1 where kind = $2", attempts, kind.value)
        budget, before = Budget(), await _requests(shop, order)
        await _run(services, hand, order, kind, budget)
        assert await _requests(shop, order) - before == 1 + charged
    assert sum(budget.charged) == charged


async def test_a_job_that_calls_nobody_gives_its_request_back(shop: Shop, settings_of_one: Any) -> None:
    order = await shop.place()
    async with opened(settings_of_one) as services:
        hand = Hand(services, shop)
        await hand.schedule(order, JobKind.CAPTURE)
        await shop.conn.execute("update payment set captured_at = now() where id = $1", order.payment_ids[0])
        budget = Budget()
        await _run(services, hand, order, JobKind.CAPTURE, budget)
        assert budget.charged == [-1]
        await hand.schedule(order, JobKind.LOOK)
        async with services.locks.hold(order.id):
            await _run(services, hand, order, JobKind.LOOK, budget)
    assert budget.charged == [-1, -1]


@pytest.mark.parametrize("kind", [JobKind.CAPTURE, JobKind.VOID])
async def test_a_run_takes_nothing_from_the_budget_and_charges_it_in_no_transaction(
    shop: Shop, settings_of_one: Any, kind: JobKind
) -> None:
    """Whatever waits for a request would wait under the order's lock and within the lease."""
    order = await shop.place()
    async with opened(settings_of_one) as services:
        hand = Hand(services, shop)
        if kind is JobKind.VOID:
            await hand.cancel(order)
        await hand.schedule(order, kind)
        await shop.conn.execute("update grace.jobs set attempts = 1 where kind = $1", kind.value)
        watched = Watched(services)

        class Checking(Budget):
            async def charge(self, requests: int) -> None:
                assert watched.open == 0
                await super().charge(requests)

        budget = Checking()
        await _run(msgspec.structs.replace(services, db=watched), hand, order, kind, budget)
    assert (budget.taken, budget.charged) == ([], [1])


class Watched(SteppedIn):
    """A database that knows how many of its connections are in use."""

    def __init__(self, services: Services) -> None:
        self.open = 0

        async def before(_: str) -> None:
            return None

        super().__init__(services.db, before)

    @asynccontextmanager
    async def single(self, name: str) -> AsyncIterator[Connection]:
        async with super().single(name) as conn:
            self.open += 1
            yield conn
            self.open -= 1

    @asynccontextmanager
    async def _transaction(self, name: str) -> AsyncIterator[Connection]:
        async with super()._transaction(name) as conn:
            self.open += 1
            yield conn
            self.open -= 1


@pytest.fixture
def settings_of_one(database: str, redis_url: str, sandbox: Sandbox) -> Any:
    return settings_for(database, redis_url, sandbox, VOID_WAIT_SECONDS="0", MEDUSA_EVENTS="off")


def _relay(services: Services, budget: Budget) -> Relay:
    """One that sends nothing, and has not begun."""
    nobody: Any = None
    relay = Relay(msgspec.structs.replace(services, stripe_budget=budget), nobody, nobody, nobody, here_at_once=1)
    relay._allowances = {kind: Allowance(kind, budget) for kind in CLASS_OF}
    relay._send = lambda due: []  # type: ignore[method-assign]
    return relay


async def _run(services: Services, hand: Hand, order: PlacedOrder, kind: JobKind, budget: Budget) -> None:
    await run_job(msgspec.structs.replace(services, stripe_budget=budget), kind, await hand.queue(order, kind))


async def _requests(shop: Shop, order: PlacedOrder) -> int:
    asked = await shop.sandbox.requests()
    return sum(request["object_id"] in order.intent_ids for request in asked)


async def _states(shop: Shop) -> list[str]:
    return [row["state"] for row in await shop.conn.fetch("select state from grace.jobs where kind = 'capture'")]


async def _is_done(shop: Shop, order: PlacedOrder, kind: JobKind) -> bool:
    job = await shop.job(order, kind)
    return job is not None and job["state"] == "done"


async def _all_captured(shop: Shop, orders: list[PlacedOrder]) -> bool:
    ids = [order.id for order in orders]
    query = "select count(*) from grace.jobs where kind = 'capture' and state = 'done' and order_id = any($1)"
    return bool(await shop.conn.fetchval(query, ids) == len(ids))
