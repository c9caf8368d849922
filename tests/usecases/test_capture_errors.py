"""Each way Stripe can fail a capture: it heals, the money is taken once, and every key is the right one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from app.domain.jobs import JobKind
from tests.usecases.hand import Hand
from tests.usecases.ledger_rows import twins_agree
from tests.world import Shop

LOOK_THEN_AGAIN = ["capture", "retrieve", "capture"]
LOOK_ONLY = ["capture", "retrieve"]

# fault, its details, what Stripe is asked, the numbers of the idempotency keys, in doubt after the failure
ERRORS = [
    pytest.param("error", {"status": 500}, LOOK_THEN_AGAIN, ["1", "2"], True, id="500"),
    pytest.param("error_saved", {"status": 500}, LOOK_THEN_AGAIN, ["1", "2"], True, id="500 saved"),
    pytest.param("error_saved", {"status": 502}, LOOK_THEN_AGAIN, ["1", "2"], True, id="502 saved"),
    pytest.param("error", {"status": 429}, LOOK_THEN_AGAIN, ["1", "2"], False, id="429"),
    pytest.param("error", {"status": 401}, LOOK_THEN_AGAIN, ["1", "2"], False, id="401"),
    pytest.param("error", {"status": 409}, LOOK_THEN_AGAIN, ["1", "1"], True, id="409"),
    pytest.param("timeout", {"seconds": 3}, LOOK_THEN_AGAIN, ["1", "1"], True, id="timeout"),
    pytest.param("reset", {}, LOOK_THEN_AGAIN, ["1", "1"], True, id="reset"),
    pytest.param("drop_after", {}, LOOK_ONLY, ["1"], True, id="done, answer dropped"),
    pytest.param("timeout_after", {"seconds": 3}, LOOK_ONLY, ["1"], True, id="done, no answer"),
    pytest.param("error_after", {"status": 500}, LOOK_ONLY, ["1"], True, id="done, answered 500"),
]


@pytest.mark.parametrize(("action", "details", "ops", "keys", "in_doubt"), ERRORS)
async def test_a_failed_capture_heals_and_takes_the_money_once(
    hand: Hand, shop: Shop, action: str, details: dict[str, Any], ops: list[str], keys: list[str], in_doubt: bool
) -> None:
    order = await shop.place()
    await hand.schedule(order, JobKind.CAPTURE)
    await shop.sandbox.fault("payment_intents.capture", action, **details)

    failed = await hand.run(order, JobKind.CAPTURE)
    assert (failed["state"], failed["failures"], failed["in_doubt"]) == ("scheduled", 1, in_doubt)
    assert (await shop.payment(order))["captured_at"] is None
    healed = await hand.run(order, JobKind.CAPTURE)

    assert (healed["state"], healed["failures"], healed["in_doubt"]) == ("done", 0, False)
    assert await hand.ops(order) == ops
    assert await hand.keys(order, "payment_intents.capture") == keys
    assert (await shop.sandbox.ledger())[order.intent_ids[0]].captures == 1
    assert (await shop.payment(order))["captured_at"] is not None
    assert await shop.conn.fetchval("select count(*) from capture where payment_id = $1", order.payment_ids[0]) == 1
    await twins_agree(shop.conn, order)


async def test_three_failures_tell_a_person_and_success_takes_it_back(hand: Hand, shop: Shop) -> None:
    order = await shop.place()
    await hand.schedule(order, JobKind.CAPTURE)
    await shop.sandbox.fault("payment_intents.capture", "error", times=None, status=500)
    await shop.sandbox.fault("payment_intents.retrieve", "error", times=None, status=500)

    told = []
    for _ in range(4):
        await hand.run(order, JobKind.CAPTURE)
        told.append(await shop.incidents(order))
    assert told == [[], [], ["capture_failed"], ["capture_failed"]]

    await shop.sandbox.clear_faults()
    assert (await hand.run(order, JobKind.CAPTURE))["state"] == "done"
    assert await shop.incidents(order) == []
    assert await shop.incidents(order, open_only=False) == ["capture_failed"]


@pytest.mark.parametrize("look", [{"status": 500}, {"status": 429}, {"status": 401}], ids=["500", "429", "401"])
async def test_a_look_that_fails_does_not_spend_the_key_of_a_capture_in_doubt(
    hand: Hand, shop: Shop, look: dict[str, Any]
) -> None:
    order = await shop.place()
    await hand.schedule(order, JobKind.CAPTURE)
    await shop.sandbox.fault("payment_intents.capture", "reset")
    await shop.sandbox.fault("payment_intents.retrieve", "error", **look)

    for _ in range(3):
        last = await hand.run(order, JobKind.CAPTURE)

    assert last["state"] == "done"
    assert await hand.ops(order) == ["capture", "retrieve", "retrieve", "capture"]
    assert await hand.keys(order, "payment_intents.capture") == ["1", "1"]


async def test_a_capture_that_stripe_still_works_on_is_not_made_twice(hand: Hand, shop: Shop) -> None:
    """Our client gave up while Stripe was at it: the same key meets the first request, not a second capture."""
    order = await shop.place()
    await hand.schedule(order, JobKind.CAPTURE)
    await shop.sandbox.fault("payment_intents.capture", "delay", seconds=1.2)

    assert (await hand.run(order, JobKind.CAPTURE))["in_doubt"]
    again = await hand.run(order, JobKind.CAPTURE)
    assert "409" in again["last_error"]
    await asyncio.sleep(0.7)
    assert (await hand.run(order, JobKind.CAPTURE))["state"] == "done"

    assert set(await hand.keys(order, "payment_intents.capture")) == {"1"}
    assert (await shop.sandbox.ledger())[order.intent_ids[0]].captures == 1
