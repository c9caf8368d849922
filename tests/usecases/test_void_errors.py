"""Each way Stripe can fail a void: it heals, the hold is let go once, and every key is the right one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from app.domain.cancellation import PaymentAction
from app.domain.jobs import JobKind
from app.embedded.shop import PlacedOrder
from tests.usecases.hand import Hand, nobody_is_told
from tests.world import Shop

LOOK_THEN_AGAIN = ["cancel", "retrieve", "cancel"]
LOOK_ONLY = ["cancel", "retrieve"]

# fault, its details, what Stripe is asked, the numbers of the idempotency keys
ERRORS = [
    pytest.param("error", {"status": 500}, LOOK_THEN_AGAIN, ["1", "2"], id="500"),
    pytest.param("error_saved", {"status": 500}, LOOK_THEN_AGAIN, ["1", "2"], id="500 saved"),
    pytest.param("error", {"status": 429}, LOOK_THEN_AGAIN, ["1", "2"], id="429"),
    pytest.param("error", {"status": 401}, LOOK_THEN_AGAIN, ["1", "2"], id="401"),
    pytest.param("timeout", {"seconds": 3}, LOOK_THEN_AGAIN, ["1", "1"], id="timeout"),
    pytest.param("reset", {}, LOOK_THEN_AGAIN, ["1", "1"], id="reset"),
    pytest.param("drop_after", {}, LOOK_ONLY, ["1"], id="done, answer dropped"),
    pytest.param("timeout_after", {"seconds": 3}, LOOK_ONLY, ["1"], id="done, no answer"),
    pytest.param("error_after", {"status": 500}, LOOK_ONLY, ["1"], id="done, answered 500"),
]


@pytest.mark.parametrize(("action", "details", "ops", "keys"), ERRORS)
async def test_a_failed_void_heals_and_lets_go_once(
    hand: Hand, shop: Shop, action: str, details: dict[str, Any], ops: list[str], keys: list[str]
) -> None:
    order = await _canceled(hand, shop)
    await shop.sandbox.fault("payment_intents.cancel", action, **details)

    failed = await hand.run(order, JobKind.VOID)
    assert (failed["state"], failed["failures"]) == ("scheduled", 1)
    assert await hand.payment_action(order) is PaymentAction.VOID_PENDING, "one failure is not worth a word"
    healed = await hand.run(order, JobKind.VOID)

    assert (healed["state"], healed["failures"], healed["in_doubt"]) == ("done", 0, False)
    assert await hand.ops(order) == ops
    assert await hand.keys(order, "payment_intents.cancel") == keys
    assert (await shop.sandbox.ledger())[order.intent_ids[0]].voids == 1
    data = await shop.conn.fetchval("select data ->> 'status' from payment where id = $1", order.payment_ids[0])
    assert data == "canceled"
    assert await nobody_is_told(hand, order)


async def test_the_second_try_comes_soon_and_later_ones_ever_later(hand: Hand, shop: Shop) -> None:
    order = await _canceled(hand, shop)
    await shop.sandbox.fault("payment_intents.cancel", "error", times=None, status=500)
    waits = []
    for _ in range(3):
        job = await hand.run(order, JobKind.VOID)
        waits.append((job["run_at"] - job["updated_at"]).total_seconds())
    assert waits == [0.4, 0.8, 5.0]

    await shop.conn.execute("update grace.jobs set failing_since = now() - interval '10 minutes' where kind = 'void'")
    job = await hand.run(order, JobKind.VOID)
    assert (job["run_at"] - job["updated_at"]).total_seconds() == pytest.approx(60, abs=1)


async def test_a_void_that_stripe_still_works_on_meets_itself_under_the_same_key(hand: Hand, shop: Shop) -> None:
    order = await _canceled(hand, shop)
    await shop.sandbox.fault("payment_intents.cancel", "delay", seconds=1.2)
    await hand.run(order, JobKind.VOID)
    again = await hand.run(order, JobKind.VOID)
    assert "409" in again["last_error"]
    await asyncio.sleep(0.7)
    assert (await hand.run(order, JobKind.VOID))["state"] == "done"
    assert set(await hand.keys(order, "payment_intents.cancel")) == {"1"}
    assert (await shop.sandbox.ledger())[order.intent_ids[0]].voids == 1


async def test_a_saved_500_would_be_replayed_for_ever_under_the_same_key(hand: Hand, shop: Shop) -> None:
    """Why the key changes: the sandbox replays as Stripe does."""
    order = await _canceled(hand, shop)
    await shop.sandbox.fault("payment_intents.cancel", "error_saved", status=500)
    await hand.run(order, JobKind.VOID)
    key = (await shop.sandbox.requests("payment_intents.cancel"))[0]["idempotency_key"]
    assert key == f"grace-void-{order.payment_ids[0]}-1"
    replayed = await hand.services.gateway.void(order.intent_ids[0], key=key)
    assert "500" in replayed.error  # type: ignore[union-attr]
    assert (await hand.run(order, JobKind.VOID))["state"] == "done"


async def _canceled(hand: Hand, shop: Shop) -> PlacedOrder:
    order = await shop.place()
    await hand.cancel(order)
    return order
