"""Late money: Medusa captures beside our cancel, at random moments, and every cent finds its way back, once.

Each race is an order with a shopper who cancels, an admin of Medusa's who captures from a page that was read before,
Stripe's webhooks, the sweep, and workers that get some messages twice. Nothing is arranged but chance; what must hold
is looked at afterwards, when all jobs are done.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta

import asyncpg
import pytest

from app.domain.incidents import IncidentKind
from app.domain.jobs import JobKind, JobRef
from app.domain.money import to_minor_units
from app.embedded.shop import STRIPE, Line, Payment, PlacedOrder, place_order
from app.embedded.shop_acts import drop_capture
from app.embedded.shop_rows import add_transaction, insert, new_id, now_ms, twins
from app.embedded.stripe_sandbox.client import Sandbox
from app.embedded.stripe_sandbox.ledger import LedgerLine
from app.ports import Answered, Hint, LateMoney, Unavailable
from app.settings import Settings
from app.store import jobs
from app.usecases.heal_incidents import heal_incidents
from app.usecases.recheck_canceled import recheck_canceled
from app.usecases.run_job import run_job
from app.usecases.take_hint import take_hint
from tests.promises import broken_promises
from tests.usecases.ground import Hand, opened
from tests.world import Shop, settings_for

AT_ONCE = 12
ROUND = 24
MINOR = 2974

NOTICED_BY = ("void", "webhook", "sweep", "anything")
"""Who may find late money while the race is on; afterwards, everybody."""

_DUE = """
update grace.jobs set state = 'queued', generation = generation + 1, updated_at = now()
where order_id = $1 and state = 'scheduled' and kind = any($2::text[]) and (run_at <= now() or $3)
returning id, generation, order_id, kind
"""


@dataclass
class Race:
    """One order and its fate."""

    order: PlacedOrder
    dice: random.Random
    noticed_by: str
    medusa: str = "never came to it"
    noticed_early: bool = False

    async def pause(self, most_ms: float) -> None:
        await asyncio.sleep(self.dice.random() * most_ms / 1000)


@dataclass
class Ground:
    """Where the races are run."""

    hand: Hand
    shop: Shop
    medusa: asyncpg.Pool
    seen: Counter[str] = field(default_factory=Counter)

    async def place(self, dice: random.Random, noticed_by: str) -> Race:
        intent = await self.shop.sandbox.authorize(MINOR, "eur")
        async with self.medusa.acquire() as conn:
            held = Payment(provider_id=STRIPE, intent=intent)
            order = await place_order(conn, lines=[Line(managed=False)], payments=[held])
            due = order.created_at + timedelta(hours=1)
            await jobs.schedule(conn, JobKind.CAPTURE, order.id, order.payment_ids, run_at=due)
            return Race(order, dice, noticed_by)

    async def run(self, race: Race) -> None:
        acts = [self.cancel(race), self.capture_by_admin(race), self.work(race)]
        if race.dice.random() < 0.2:
            acts.append(self.cancel(race))
        if race.dice.random() < 0.2:
            acts.append(self.capture_by_admin(race))
        await asyncio.gather(*acts)

    async def cancel(self, race: Race) -> None:
        """A busy machine answers 503, which changed nothing: the shopper presses once more."""
        await race.pause(25)
        for _ in range(5):
            with contextlib.suppress(Unavailable):
                await self.hand.cancel(race.order)
                return

    async def capture_by_admin(self, race: Race) -> None:
        """Medusa's capture by its steps: each block a commit, and what was read is not read again."""
        order, (payment_id,) = race.order, race.order.payment_ids
        await race.pause(15)
        row = await self.medusa.fetchrow(
            "select amount, canceled_at, captured_at from payment where id = $1", payment_id
        )
        if row is None or row["canceled_at"] or row["captured_at"]:
            race.medusa = "refused"
            return
        await race.pause(25)
        capture_id, moment = new_id("capt", now_ms()), now_ms()
        async with self.medusa.acquire() as conn, conn.transaction():
            await conn.execute("set local lock_timeout = '3s'")
            await conn.execute("select id from payment where id = $1 for update", payment_id)
            if await conn.fetchval("select count(*) from capture where payment_id = $1", payment_id):
                return  # "You cannot capture more than the authorized amount."
            capture = {"id": capture_id, "payment_id": payment_id, **twins(amount=row["amount"])}
            await insert(conn, "capture", {**capture, "created_at": moment, "updated_at": moment})
        await race.pause(race.dice.choice((5, 25, 250)))
        outcome = await self.hand.services.gateway.capture(order.intent_ids[0], amount=MINOR, key=capture_id)
        fate = race.dice.random()
        if race.noticed_by in {"webhook", "anything"} and isinstance(outcome, Answered):
            await self.hint(race)
        if isinstance(outcome, Answered) and fate < 0.1:
            race.medusa = "crashed after Stripe had captured"
            return
        await race.pause(10)
        async with self.medusa.acquire() as conn:
            if not isinstance(outcome, Answered) or fate < 0.2:
                race.medusa = "lost the answer" if isinstance(outcome, Answered) else "was declined"
                await drop_capture(conn, capture_id)
                return
            race.medusa = "captured"
            await self.settle(conn, order, capture_id)

    async def settle(self, conn: asyncpg.Connection, order: PlacedOrder, capture_id: str) -> None:
        """Payment, collection and transaction; a transaction that is there already is not added again."""
        await conn.execute(
            'update payment set captured_at = now(), data = data || \'{"status": "succeeded"}\' where id = $1',
            order.payment_ids[0],
        )
        await conn.execute(_SUM_UP, order.collection_ids[0])
        amount = await conn.fetchval("select amount from capture where id = $1", capture_id)
        async with conn.transaction():
            await conn.execute('select id from "order" where id = $1 for update', order.id)
            if not await conn.fetchval("select count(*) from order_transaction where reference_id = $1", capture_id):
                await add_transaction(conn, order.id, amount, "capture", capture_id, now_ms())

    async def hint(self, race: Race) -> None:
        """Stripe's webhook: it comes twice, sometimes."""
        (intent_id,), (session,) = race.order.intent_ids, race.order.session_ids
        hint = Hint(id=f"evt_{intent_id}", type="payment_intent.succeeded", intent_id=intent_id, session=session)
        for _ in range(race.dice.choice((1, 1, 2))):
            await take_hint(self.hand.services, hint)

    async def work(self, race: Race) -> None:
        """A worker's share in this order; the sweep is run for all of them."""
        kinds = {"void": ["void"], "webhook": ["look"], "sweep": []}.get(race.noticed_by, ["void", "look", "refund"])
        for _ in range(6):
            await race.pause(20)
            if kinds:
                await self.run_jobs(race, kinds)

    async def run_jobs(self, race: Race, kinds: list[str], *, due_or_not: bool = False) -> int:
        rows = await self.medusa.fetch(_DUE, race.order.id, kinds, due_or_not)
        messages = [row for row in rows for _ in range(race.dice.choice((1, 1, 2)))]
        await asyncio.gather(
            *(
                run_job(self.hand.services, JobKind(row["kind"]), JobRef(row["id"], row["generation"], row["order_id"]))
                for row in messages
            )
        )
        return len(rows)

    async def drain(self, race: Race) -> None:
        """Every job to its end, however often it wants to wait."""
        for _ in range(20):
            if not await self.run_jobs(race, [kind.value for kind in JobKind], due_or_not=True):
                return
        raise AssertionError(f"jobs of {race.order.id} never end")

    async def incidents(self, race: Race, *, open_only: bool = True) -> list[str]:
        rows = await self.medusa.fetch(
            "select kind from grace.incidents where order_id = $1 and (closed_at is null or not $2)",
            race.order.id,
            open_only,
        )
        return [row["kind"] for row in rows]


_SUM_UP = """
update payment_collection as c set captured_amount = s.captured, refunded_amount = s.refunded,
    raw_captured_amount = jsonb_build_object('value', trim_scale(s.captured)::text, 'precision', 20),
    raw_refunded_amount = jsonb_build_object('value', trim_scale(s.refunded)::text, 'precision', 20),
    status = 'completed', completed_at = now(), updated_at = now()
from (
    select
        (select coalesce(sum(x.amount), 0) from capture as x join payment as p on p.id = x.payment_id
            where p.payment_collection_id = $1 and x.deleted_at is null) as captured,
        (select coalesce(sum(x.amount), 0) from refund as x join payment as p on p.id = x.payment_id
            where p.payment_collection_id = $1 and x.deleted_at is null) as refunded
) as s
where c.id = $1
"""


@pytest.fixture
def settings(database: str, redis_url: str, sandbox: Sandbox) -> Settings:
    """Nobody waits for a void, and there are no subscribers."""
    changes = {"VOID_WAIT_SECONDS": "0", "MEDUSA_EVENTS": "off", "DATABASE_POOL_SIZE": "32"}
    return settings_for(database, redis_url, sandbox, **changes)


@pytest.fixture
async def ground(settings: Settings, shop: Shop, database: str) -> AsyncIterator[Ground]:
    """A worker's services, and a Medusa with connections of its own."""
    async with opened(settings) as services, asyncpg.create_pool(database, min_size=1, max_size=12) as pool:
        yield Ground(Hand(services, shop), shop, pool)


@pytest.mark.parametrize("policy", list(LateMoney), ids=lambda policy: policy.value)
async def test_late_money_finds_its_way_back(ground: Ground, policy: LateMoney) -> None:
    await _race(ground, policy, rounds=1, seed=7)


@pytest.mark.long
@pytest.mark.parametrize("policy", list(LateMoney), ids=lambda policy: policy.value)
async def test_ten_thousand_races_for_late_money(ground: Ground, policy: LateMoney) -> None:
    rounds = -(-(10_000 if policy is LateMoney.REFUND else 2_000) // (ROUND * len(NOTICED_BY)))
    await _race(ground, policy, rounds=rounds, seed=random.randrange(2**32))


async def _race(ground: Ground, policy: LateMoney, *, rounds: int, seed: int) -> None:
    ground.hand = ground.hand.with_policy(late_money=policy)
    dice = random.Random(seed)
    for _ in range(rounds):
        for noticed_by in NOTICED_BY:
            await _one_round(ground, policy, dice, noticed_by)
    for noticed_by in NOTICED_BY:
        assert ground.seen[f"late, first seen by {noticed_by}"], f"seed {seed}: {ground.seen}"
    assert ground.seen["canceled"] > ground.seen["late"], "no void ever came first"


async def _one_round(ground: Ground, policy: LateMoney, dice: random.Random, noticed_by: str) -> None:
    gate, services = asyncio.Semaphore(AT_ONCE), ground.hand.services

    async def one(act: Callable[[Race], Awaitable[None]], race: Race) -> None:
        async with gate:
            await act(race)

    async def sweep() -> None:
        while noticed_by in {"sweep", "anything"}:
            with contextlib.suppress(Unavailable):
                await recheck_canceled(services)
            await asyncio.sleep(0.02)

    chances = [random.Random(dice.random()) for _ in range(ROUND)]
    races = await asyncio.gather(*(ground.place(chance, noticed_by) for chance in chances))
    sweeper = asyncio.create_task(sweep())
    await asyncio.gather(*(one(ground.run, race) for race in races))
    sweeper.cancel()
    await asyncio.gather(sweeper, return_exceptions=True)
    if noticed_by == "sweep":
        await recheck_canceled(services)
    for race in races:
        race.noticed_early = "late_money" in await ground.incidents(race, open_only=False)
    await ground.shop.conn.execute("update capture set created_at = created_at - interval '6 minutes'")
    await recheck_canceled(services)
    await asyncio.gather(*(one(ground.drain, race) for race in races))
    await recheck_canceled(services)
    await asyncio.gather(*(one(ground.drain, race) for race in races))
    await heal_incidents(services)

    ledger = await ground.shop.sandbox.ledger()
    wrong = []
    for race in races:
        wrong += await _judge(ground, policy, race, ledger[race.order.intent_ids[0]])
    wrong += [str(finding) for finding in await broken_promises(ground.shop, ground.shop.sandbox)]
    assert not wrong, "\n".join(wrong[:20])
    await ground.shop.sandbox.reset()
    await ground.shop.conn.execute("update grace.cancellations set canceled_at = now() - interval '1 day'")


async def _judge(ground: Ground, policy: LateMoney, race: Race, line: LedgerLine) -> list[str]:
    """What is wrong with one order at rest."""
    if await ground.shop.status(race.order) != "canceled":
        ground.seen["not canceled"] += 1
        return []
    late = line.captured > 0
    ground.seen.update(["canceled", *(["late"] if late else []), f"canceled, and Medusa {race.medusa}"])
    if late and race.noticed_early:
        ground.seen[f"late, first seen by {race.noticed_by}"] += 1
    told, still_told = await ground.incidents(race, open_only=False), await ground.incidents(race)
    refund = policy is LateMoney.REFUND
    rows = await ground.medusa.fetchrow(
        "select (select coalesce(sum(amount), 0) from capture where payment_id = $1) as captured, "
        "(select coalesce(sum(amount), 0) from refund where payment_id = $1) as refunded",
        race.order.payment_ids[0],
    )
    in_rows = tuple(to_minor_units(rows[name], "eur") for name in ("captured", "refunded"))
    kept = 0 if refund or not late else MINOR
    checks = {
        "kept": (line.captured - line.refunded, kept),
        "done once": (line.captures + line.voids, 1),
        "refunds": (line.refunds, int(refund and late)),
        "rows": (in_rows, (line.captured, line.refunded)),
        "incidents ever": (told, [IncidentKind.LATE_MONEY.value] if late else []),
        "incidents open": (still_told, [IncidentKind.LATE_MONEY.value] if kept else []),
    }
    return [
        f"{race.order.id} ({race.noticed_by}; Medusa {race.medusa}): {name} {found}, expected {expected}"
        for name, (found, expected) in checks.items()
        if found != expected
    ]
