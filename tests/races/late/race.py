"""One order and its fate: a shopper, an admin, webhooks, the sweep, and workers that get some messages twice."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta

import asyncpg

from app.domain.jobs import JobKind
from app.embedded.shop import STRIPE, Line, Payment, PlacedOrder, place_order
from app.ports import Hint, Unavailable
from app.store import jobs
from app.usecases.run_job import run_job
from app.usecases.take_hint import take_hint
from tests.races.late.medusa import MINOR, ROUNDED, Medusa
from tests.usecases.hand import Hand
from tests.world import Shop, ref_of

_DUE = """
update grace.jobs set state = 'queued', generation = generation + 1, updated_at = now()
where order_id = $1 and state = 'scheduled' and kind = any($2::text[]) and (run_at <= now() or $3)
returning (select i.id from grace.installation as i) as installation, ulid, kind, order_id, generation
"""


@dataclass
class Race:
    """One order, and who may notice late money on it while the race is on; afterwards, everybody."""

    order: PlacedOrder
    dice: random.Random
    noticed_by: str
    medusa: Medusa
    noticed_early: bool = False

    async def pause(self, most_ms: float) -> None:
        """Some time, up to ``most_ms``."""
        await asyncio.sleep(self.dice.random() * most_ms / 1000)


@dataclass
class Ground:
    """Where the races are run."""

    hand: Hand
    shop: Shop
    medusa: asyncpg.Pool
    seen: Counter[str] = field(default_factory=Counter)

    async def place(self, dice: random.Random, noticed_by: str) -> Race:
        """An order with a hold, whose capture is due when its grace period ends."""
        intent = await self.shop.sandbox.authorize(MINOR, "eur")
        async with self.medusa.acquire() as conn:
            held = Payment(provider_id=STRIPE, intent=intent)
            order = await place_order(conn, lines=[Line(managed=False)], payments=[held])
            due = order.created_at + timedelta(hours=1)
            await jobs.schedule(conn, JobKind.CAPTURE, order.id, order.payment_ids, run_at=due)
        medusa = Medusa(self.medusa, self.hand.services.gateway, order, dice)
        return Race(order, dice, noticed_by, medusa)

    async def run(self, race: Race) -> None:
        """Everybody at once."""
        acts = [self._cancel(race), self._capture(race), self._work(race)]
        if race.dice.random() < 0.2:
            acts.append(self._cancel(race))
        if race.dice.random() < 0.2:
            acts.append(self._capture(race))
        await asyncio.gather(*acts)
        if race.noticed_by == "webhook":
            await self._run_jobs(race, ["look"])

    async def _cancel(self, race: Race) -> None:
        """A busy machine answers 503, which changed nothing: the shopper presses once more."""
        await race.pause(25)
        for _ in range(5):
            with contextlib.suppress(Unavailable):
                await self.hand.cancel(race.order)
                return

    async def _capture(self, race: Race) -> None:
        """An admin captures, and Stripe tells whoever has a webhook: us, and sometimes Medusa itself."""
        await race.pause(15)
        told: list[asyncio.Task[None]] = []
        await race.medusa.capture(lambda: told.append(asyncio.create_task(self._webhooks(race))))
        await asyncio.gather(*told)

    async def _webhooks(self, race: Race) -> None:
        """Whatever Medusa's capture does meanwhile."""
        to_medusa = race.dice.random() < 0.15
        await race.pause(race.dice.choice((0, 20, 100)))
        if race.noticed_by in {"webhook", "anything"}:
            await self._hint(race)
        if to_medusa:
            await race.pause(50)
            await race.medusa.capture(lambda: None, amount=ROUNDED)

    async def _hint(self, race: Race) -> None:
        (intent_id,), (session,) = race.order.intent_ids, race.order.session_ids
        hint = Hint(id=f"evt_{intent_id}", type="payment_intent.succeeded", intent_id=intent_id, session=session)
        for _ in range(race.dice.choice((1, 1, 2))):
            with contextlib.suppress(Unavailable):
                await take_hint(self.hand.services, hint)

    async def _work(self, race: Race) -> None:
        """A worker's share in this order; the sweep is run for all of them."""
        kinds = {"void": ["void"], "webhook": ["look"], "sweep": []}.get(race.noticed_by, ["void", "look", "refund"])
        if race.dice.random() < 0.5:
            kinds = [*kinds, "refund"]
        for _ in range(6):
            await race.pause(20)
            if kinds:
                await self._run_jobs(race, kinds)

    async def _run_jobs(self, race: Race, kinds: list[str], *, due_or_not: bool = False) -> int:
        rows = await self.medusa.fetch(_DUE, race.order.id, kinds, due_or_not)
        messages = [row for row in rows for _ in range(race.dice.choice((1, 1, 2)))]
        await asyncio.gather(*(run_job(self.hand.services, JobKind(row["kind"]), ref_of(row)) for row in messages))
        return len(rows)

    async def drain(self, race: Race) -> None:
        """Every job to its end, however often it wants to wait."""
        for _ in range(20):
            if not await self._run_jobs(race, [kind.value for kind in JobKind], due_or_not=True):
                return
        raise AssertionError(f"jobs of {race.order.id} never end")

    async def incidents(self, race: Race, *, open_only: bool = True) -> list[str]:
        """Kinds of the order's incidents."""
        rows = await self.medusa.fetch(
            "select kind from grace.incidents where order_id = $1 and (closed_at is null or not $2)",
            race.order.id,
            open_only,
        )
        return [row["kind"] for row in rows]
