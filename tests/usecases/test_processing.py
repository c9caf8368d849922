"""An intent that Stripe still processes: its job waits, and nothing is said to have failed."""

from __future__ import annotations

from dataclasses import dataclass, replace

import msgspec
import pytest

from app.domain.cancellation import PaymentAction, Refused
from app.domain.incidents import IncidentKind
from app.domain.jobs import PROCESSING_TRIES, JobKind
from app.ports import Answered, Call, Declined, Intent, IntentState, Outcome, PaymentGateway, Unseen
from tests.usecases.hand import Hand
from tests.world import Shop


@dataclass
class Bank:
    """Whether it still works on every intent."""

    busy: bool = True


class ProcessingGateway:
    """Stripe while a bank is busy: captures are taken in, cancels are declined, and the intent says ``processing``."""

    def __init__(self, inner: PaymentGateway, bank: Bank) -> None:
        self._inner, self._bank = inner, bank

    async def look(self, intent_id: str, *, calls: list[Call] | None = None) -> Answered | Unseen:
        seen = await self._inner.look(intent_id, calls=calls)
        return Answered(_processing(seen.intent)) if self._bank.busy and isinstance(seen, Answered) else seen

    async def capture(self, intent_id: str, *, amount: int, key: str, calls: list[Call] | None = None) -> Outcome:
        outcome = await self._inner.capture(intent_id, amount=amount, key=key, calls=calls)
        return Answered(_processing(outcome.intent)) if self._bank.busy and isinstance(outcome, Answered) else outcome

    async def void(self, intent_id: str, *, key: str, calls: list[Call] | None = None) -> Outcome:
        if not self._bank.busy:
            return await self._inner.void(intent_id, key=key, calls=calls)
        seen = await self._inner.look(intent_id, calls=calls)
        assert isinstance(seen, Answered)
        return Declined("You cannot cancel this PaymentIntent because it is processing", _processing(seen.intent))

    async def refund(self, intent_id: str, *, amount: int, key: str, calls: list[Call] | None = None) -> Outcome:
        return await self._inner.refund(intent_id, amount=amount, key=key, calls=calls)


def _processing(intent: Intent) -> Intent:
    raw = {**intent.raw, "status": "processing", "amount_received": 0}
    return msgspec.structs.replace(intent, state=IntentState.PROCESSING, amount_received=0, raw=raw)


@pytest.fixture
def bank() -> Bank:
    return Bank()


@pytest.fixture
def slow(hand: Hand, bank: Bank) -> Hand:
    """A hand whose Stripe waits for the bank."""
    gateway = ProcessingGateway(hand.services.gateway, bank)
    return replace(hand, services=msgspec.structs.replace(hand.services, gateway=gateway))


async def test_a_capture_that_is_processed_waits_and_is_done_when_the_bank_has_answered(
    slow: Hand, bank: Bank, shop: Shop
) -> None:
    order = await shop.place()
    await slow.schedule(order, JobKind.CAPTURE)
    for _ in range(5):
        waiting = await slow.run(order, JobKind.CAPTURE)
        assert (waiting["state"], waiting["failures"], waiting["in_doubt"]) == ("scheduled", 0, True)
    assert await shop.incidents(order, open_only=False) == []
    assert isinstance(await slow.cancel(order), Refused), "the money may be taken any moment"

    bank.busy = False
    assert (await slow.run(order, JobKind.CAPTURE))["state"] == "done"
    assert (await shop.payment(order))["captured_at"] is not None
    assert await slow.ops(order) == ["capture"] + ["retrieve"] * 5
    assert (await shop.sandbox.ledger())[order.intent_ids[0]].captures == 1


async def test_a_bank_that_declines_after_all_costs_the_hold(slow: Hand, bank: Bank, shop: Shop) -> None:
    order = await shop.place()
    await slow.schedule(order, JobKind.CAPTURE)
    await shop.sandbox.fault("payment_intents.capture", "error", status=409)
    await slow.run(order, JobKind.CAPTURE)
    await slow.run(order, JobKind.CAPTURE)
    await shop.sandbox.lapse(order.intent_ids[0])
    bank.busy = False
    await slow.run(order, JobKind.CAPTURE)
    assert await shop.incidents(order) == [IncidentKind.AUTHORIZATION_LOST]


async def test_a_void_of_what_is_processed_waits_and_finds_the_money(
    hand: Hand, slow: Hand, bank: Bank, shop: Shop
) -> None:
    order = await shop.place()
    await slow.cancel(order)
    for _ in range(5):
        waiting = await slow.run(order, JobKind.VOID)
        assert (waiting["state"], waiting["failures"]) == ("scheduled", 0)
    assert await shop.incidents(order, open_only=False) == []
    assert await slow.payment_action(order) is PaymentAction.VOID_PENDING

    await hand.services.gateway.capture(order.intent_ids[0], amount=2974, key="of-the-bank")
    bank.busy = False
    await slow.run(order, JobKind.VOID)
    assert await shop.incidents(order) == [IncidentKind.LATE_MONEY]


async def test_a_person_is_told_of_a_capture_that_is_processed_for_a_day(slow: Hand, shop: Shop) -> None:
    order = await shop.place()
    await slow.schedule(order, JobKind.CAPTURE)
    await slow.run(order, JobKind.CAPTURE)
    await shop.conn.execute("update grace.jobs set attempts = $1 where kind = 'capture'", PROCESSING_TRIES)
    for _ in range(3):
        await slow.run(order, JobKind.CAPTURE)
    assert await shop.incidents(order) == [IncidentKind.CAPTURE_FAILED]


async def test_waits_grow_from_seconds_to_a_quarter_of_an_hour(slow: Hand, shop: Shop) -> None:
    order = await shop.place()
    await slow.schedule(order, JobKind.CAPTURE)
    waits = []
    for _ in range(9):
        job = await slow.run(order, JobKind.CAPTURE)
        waits.append(round((job["run_at"] - job["updated_at"]).total_seconds()))
    assert waits == [10, 20, 40, 80, 160, 320, 640, 900, 900]
