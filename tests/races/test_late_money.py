"""Late money: Medusa captures beside our cancel, at random moments, and every cent finds its way back, once.

Each race is an order with a shopper who cancels, an admin of Medusa's who captures from a page that was read before,
Stripe's webhooks, the sweep, and workers that get some messages twice. Nothing is arranged but chance; what must hold
is looked at afterwards, when all jobs are done.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import asyncpg
import pytest

from app.domain.incidents import IncidentKind
from app.domain.money import to_minor_units
from app.embedded.stripe_sandbox.client import Sandbox
from app.embedded.stripe_sandbox.ledger import LedgerLine
from app.ports import LateMoney, Unavailable
from app.settings import Settings
from app.usecases.heal_incidents import heal_incidents
from app.usecases.recheck_canceled import recheck_canceled
from tests.promises import broken_promises
from tests.races.late.medusa import MINOR
from tests.races.late.race import Ground, Race
from tests.usecases.hand import Hand, opened
from tests.world import Shop, fetch_one, settings_for

AT_ONCE = 24
NOTICED_BY = ("void", "webhook", "sweep", "anything")

_ROWS = """
select (select coalesce(sum(amount), 0) from capture where payment_id = p.id) as captured,
    (select coalesce(sum(amount), 0) from refund where payment_id = p.id) as refunded,
    p.captured_at is not null as is_captured, p.canceled_at is not null as is_canceled
from payment as p where p.id = $1
"""
_EMPTY = """
truncate "order", payment_collection, payment, payment_session, capture, refund, order_payment_collection,
    grace.jobs, grace.cancellations, grace.incidents cascade
"""

log = logging.getLogger(__name__)


@pytest.fixture
def settings(database: str, redis_url: str, sandbox: Sandbox) -> Settings:
    """Nobody waits for a void, and there are no subscribers."""
    changes = {"VOID_WAIT_SECONDS": "0", "MEDUSA_EVENTS": "off", "DATABASE_POOL_SIZE": "40"}
    return settings_for(database, redis_url, sandbox, **changes)


@pytest.fixture
async def ground(settings: Settings, shop: Shop, database: str) -> AsyncIterator[Ground]:
    """A worker's services, and a Medusa with connections of its own."""
    async with opened(settings) as services, asyncpg.create_pool(database, min_size=1, max_size=AT_ONCE) as pool:
        yield Ground(Hand(services, shop), shop, pool)


@pytest.mark.parametrize("policy", list(LateMoney), ids=lambda policy: policy.value)
async def test_late_money_finds_its_way_back(ground: Ground, policy: LateMoney) -> None:
    await _race(ground, policy, rounds=1, size=24, seed=7)


@pytest.mark.long
@pytest.mark.parametrize("policy", list(LateMoney), ids=lambda policy: policy.value)
async def test_ten_thousand_races_for_late_money(
    ground: Ground, policy: LateMoney, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, logger="app")  # a million lines are a third of the time
    rounds = 53 if policy is LateMoney.REFUND else 11  # of four times 48 races
    await _race(ground, policy, rounds=rounds, size=48, seed=random.randrange(2**32))


async def _race(ground: Ground, policy: LateMoney, *, rounds: int, size: int, seed: int) -> None:
    ground.hand = ground.hand.with_policy(late_money=policy)
    dice, began = random.Random(seed), time.monotonic()
    for done in range(1, rounds + 1):
        for noticed_by in NOTICED_BY:
            await _round_in_order(ground, policy, dice, noticed_by, size=size, seed=seed)
        seconds = time.monotonic() - began
        log.info("%s races in %.0f s, seed %s", done * size * len(NOTICED_BY), seconds, seed)
    log.info("%s", sorted(ground.seen.items()))
    for noticed_by in NOTICED_BY:
        for _ in range(4):  # on a busy machine all the races of one round can end alike
            if not ground.seen[f"late, first seen by {noticed_by}"]:
                await _round_in_order(ground, policy, dice, noticed_by, size=size, seed=seed)
        assert ground.seen[f"late, first seen by {noticed_by}"], f"seed {seed}: {ground.seen}"
    assert ground.seen["canceled"] > ground.seen["late"], "no void ever came first"


async def _round_in_order(
    ground: Ground, policy: LateMoney, dice: random.Random, noticed_by: str, *, size: int, seed: int
) -> None:
    wrong = await _one_round(ground, policy, [random.Random(dice.random()) for _ in range(size)], noticed_by)
    assert not wrong, f"seed {seed}:\n" + "\n".join(wrong[:20])


async def _one_round(ground: Ground, policy: LateMoney, chances: list[random.Random], noticed_by: str) -> list[str]:
    gate, services = asyncio.Semaphore(AT_ONCE), ground.hand.services

    async def one(act: Callable[[Race], Awaitable[None]], race: Race) -> None:
        async with gate:
            await act(race)

    async def sweep() -> None:
        while noticed_by in {"sweep", "anything"}:
            with contextlib.suppress(Unavailable):
                await recheck_canceled(services)
            await asyncio.sleep(0.25)

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
    by_order = {race.order.id: race for race in races}
    for finding in await broken_promises(ground.shop, ground.shop.sandbox):
        race = by_order[finding.order_id or ""]
        if race.medusa.excuses(finding.defect, canceled=await _is_canceled(ground, race)):
            ground.seen[f"Medusa's own: {finding.defect.value}"] += 1
        else:
            wrong.append(f"{finding} ({race.noticed_by}; Medusa {race.medusa.fate})")
    await ground.shop.sandbox.reset()
    await ground.shop.conn.execute(_EMPTY)  # a hundred rounds must not look through the rows of each other
    return wrong


async def _is_canceled(ground: Ground, race: Race) -> bool:
    return await ground.shop.status(race.order) == "canceled"


async def _judge(ground: Ground, policy: LateMoney, race: Race, line: LedgerLine) -> list[str]:
    """What is wrong with one order at rest."""
    if not await _is_canceled(ground, race):
        ground.seen["not canceled"] += 1
        return []
    late = line.captured > 0
    ground.seen.update(["canceled", *(["late"] if late else []), f"canceled, and Medusa {race.medusa.fate}"])
    if late and race.noticed_early:
        ground.seen[f"late, first seen by {race.noticed_by}"] += 1
    told, still_told = await ground.incidents(race, open_only=False), await ground.incidents(race)
    refund = policy is LateMoney.REFUND
    rows = await fetch_one(ground.medusa, _ROWS, race.order.payment_ids[0])
    in_rows = tuple(to_minor_units(rows[name], "eur") for name in ("captured", "refunded"))
    kept = 0 if refund or not late else MINOR
    checks = {
        "kept": (line.captured - line.refunded, kept),
        "done once": (line.captures + line.voids, 1),
        "refunds": (line.refunds, int(refund and late)),
        "rows": (in_rows, (line.captured, line.refunded)),
        "captured or canceled": ((rows["is_captured"], rows["is_canceled"]), (late, not late)),
        "incidents ever": (told, [IncidentKind.LATE_MONEY.value] if late else []),
        "incidents open": (still_told, [IncidentKind.LATE_MONEY.value] if kept else []),
    }
    return [
        f"{race.order.id} ({race.noticed_by}; Medusa {race.medusa.fate}): {name} {found}, expected {expected}"
        for name, (found, expected) in checks.items()
        if found != expected
    ]
