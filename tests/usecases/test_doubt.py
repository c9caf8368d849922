"""A capture whose answer was lost stays in doubt until Stripe shows how things stand: no cancel is accepted before."""

from __future__ import annotations

from typing import Any

import pytest

from app.domain.cancellation import Refusal, Refused
from app.domain.jobs import JobKind
from app.embedded.shop import PlacedOrder
from app.embedded.shop_acts import capture_by_medusa, drop_capture
from app.ports import Declined
from app.usecases.cancel_order import Canceled
from tests.usecases.canned import answering, intent_of
from tests.usecases.conftest import STRIPE_PATIENCE
from tests.usecases.hand import Hand, Killed
from tests.world import Shop

TAKEN = {"taken": "drop_after", "not taken": "reset"}
RETRIEVE_FAILS: dict[str, dict[str, Any]] = {
    "500": {"action": "error", "status": 500},
    "429": {"action": "error", "status": 429},
    "401": {"action": "error", "status": 401},
    "no answer": {"action": "timeout", "seconds": STRIPE_PATIENCE * 2},
    "reset": {"action": "reset"},
}
IN_FLIGHT = Refused(Refusal.CAPTURE_IN_FLIGHT)


async def _unanswered(hand: Hand, shop: Shop, money: str) -> PlacedOrder:
    order = await shop.place()
    await hand.schedule(order, JobKind.CAPTURE)
    await shop.sandbox.fault("payment_intents.capture", TAKEN[money], object_id=order.intent_ids[0])
    job = await hand.run(order, JobKind.CAPTURE)
    assert (job["state"], job["in_doubt"]) == ("scheduled", True)
    return order


async def _ends_as_one_capture(hand: Hand, shop: Shop, order: PlacedOrder) -> None:
    await shop.sandbox.clear_faults()
    job = await hand.run(order, JobKind.CAPTURE)
    assert (job["state"], job["in_doubt"]) == ("done", False)
    assert (await shop.sandbox.ledger())[order.intent_ids[0]].captures == 1
    assert (await shop.payment(order))["captured_at"] is not None


@pytest.mark.parametrize("money", TAKEN)
@pytest.mark.parametrize("failure", RETRIEVE_FAILS)
async def test_a_retrieve_that_fails_settles_no_doubt(hand: Hand, shop: Shop, money: str, failure: str) -> None:
    order = await _unanswered(hand, shop, money)
    assert await hand.cancel(order) == IN_FLIGHT
    await shop.sandbox.fault("payment_intents.retrieve", times=None, **RETRIEVE_FAILS[failure])
    for _ in range(2):
        job = await hand.run(order, JobKind.CAPTURE)
        assert (job["state"], job["in_doubt"]) == ("scheduled", True)
        assert await hand.cancel(order) == IN_FLIGHT
    assert await shop.status(order) == "pending"
    await _ends_as_one_capture(hand, shop, order)


@pytest.mark.parametrize("answer", ["the intent", "declined with the intent", "declined without it"])
async def test_an_answer_that_shows_the_intent_settles_the_doubt(hand: Hand, shop: Shop, answer: str) -> None:
    """The attempt failed all the same; a cancel is accepted from then on, since nothing was taken."""
    order = await _unanswered(hand, shop, "not taken")
    shown = intent_of(order, "requires_capture")
    declined = Declined("no", None if answer == "declined without it" else shown.intent)
    canned: Any = shown if answer == "the intent" else declined
    job = await answering(hand, capture=canned).run(order, JobKind.CAPTURE)
    in_doubt = answer == "declined without it"
    assert (job["state"], job["failures"], job["in_doubt"]) == ("scheduled", 2, in_doubt)
    outcome = await hand.cancel(order)
    assert outcome == IN_FLIGHT if in_doubt else isinstance(outcome, Canceled)


@pytest.mark.parametrize("money", TAKEN)
async def test_medusas_own_capture_settles_no_doubt(hand: Hand, shop: Shop, money: str) -> None:
    """While Medusa's is in flight ours waits; it is dropped, and the payment looks held again."""
    order = await _unanswered(hand, shop, money)
    theirs = await capture_by_medusa(shop.conn, order, order.payment_ids[0], in_flight=True)
    job = await hand.run(order, JobKind.CAPTURE)
    assert (job["state"], job["in_doubt"]) == ("scheduled", True)
    await drop_capture(shop.conn, theirs)
    assert await hand.cancel(order) == IN_FLIGHT
    await _ends_as_one_capture(hand, shop, order)


async def test_a_worker_that_dies_before_its_retrieve_settles_no_doubt(hand: Hand, shop: Shop) -> None:
    order = await _unanswered(hand, shop, "taken")
    await shop.sandbox.fault("payment_intents.retrieve", "error", status=500)
    with pytest.raises(Killed):
        await hand.dying_at("capture.record").run(order, JobKind.CAPTURE)
    await hand.bury()
    assert await hand.cancel(order) == IN_FLIGHT
    await _ends_as_one_capture(hand, shop, order)


async def test_a_message_that_was_lost_settles_no_doubt(hand: Hand, shop: Shop) -> None:
    order = await _unanswered(hand, shop, "taken")
    await hand.queue(order, JobKind.CAPTURE)
    await shop.conn.execute("update grace.jobs set updated_at = now() - interval '1 minute'")
    assert await hand.bury() == 1
    assert await hand.cancel(order) == IN_FLIGHT
    await _ends_as_one_capture(hand, shop, order)


@pytest.mark.parametrize("failure", RETRIEVE_FAILS)
async def test_a_void_whose_answer_was_lost_is_not_told_before_a_retrieve_shows_it(
    hand: Hand, shop: Shop, failure: str
) -> None:
    order = await shop.place()
    await hand.cancel(order)
    await shop.sandbox.fault("payment_intents.cancel", "drop_after", object_id=order.intent_ids[0])
    await hand.run(order, JobKind.VOID)
    await shop.sandbox.fault("payment_intents.retrieve", times=None, **RETRIEVE_FAILS[failure])
    job = await hand.run(order, JobKind.VOID)
    assert (job["state"], await hand.payment_action(order)) == ("scheduled", "void_pending")
    await shop.sandbox.clear_faults()
    assert (await hand.run(order, JobKind.VOID))["state"] == "done"
    assert await hand.payment_action(order) == "voided"
    assert (await shop.sandbox.ledger())[order.intent_ids[0]].voids == 1


@pytest.mark.parametrize("failure", RETRIEVE_FAILS)
async def test_a_refund_whose_answer_was_lost_is_not_made_before_a_retrieve_shows_it(
    hand: Hand, shop: Shop, failure: str
) -> None:
    order = await shop.place()
    await hand.cancel(order)
    await hand.services.gateway.capture(order.intent_ids[0], amount=2974, key="taken-elsewhere")
    refunding = hand.refunding()
    await refunding.run(order, JobKind.VOID)
    await shop.sandbox.fault("refunds.create", "drop_after")
    await refunding.run(order, JobKind.REFUND)
    await shop.sandbox.fault("payment_intents.retrieve", times=None, **RETRIEVE_FAILS[failure])
    for _ in range(2):
        job = await refunding.run(order, JobKind.REFUND)
        assert job["state"] == "scheduled"
    await shop.sandbox.clear_faults()
    assert (await refunding.run(order, JobKind.REFUND))["state"] == "done"
    line = (await shop.sandbox.ledger())[order.intent_ids[0]]
    assert (line.refunds, line.refunded) == (1, line.captured)
