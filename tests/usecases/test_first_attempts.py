"""What Stripe is asked, call by call: once by a first attempt, and only after a retrieve by the next one."""

from __future__ import annotations

from decimal import Decimal

import pytest

from app.domain.jobs import JobKind
from app.embedded.shop_sessions import open_session
from tests.usecases.canned import answer_of, answering
from tests.usecases.hand import Hand
from tests.usecases.test_sessions import waiting_for
from tests.world import Shop


@pytest.mark.parametrize("attempts", [0, 1])
async def test_a_void(hand: Hand, shop: Shop, attempts: int) -> None:
    order = await shop.place()
    await hand.cancel(order)
    await shop.conn.execute("update grace.jobs set attempts = $1 where kind = 'void'", attempts)
    assert (await hand.run(order, JobKind.VOID))["state"] == "done"
    assert await hand.ops(order) == ([] if attempts == 0 else ["retrieve"]) + ["cancel"]


@pytest.mark.parametrize("attempts", [0, 1])
async def test_a_capture(hand: Hand, shop: Shop, attempts: int) -> None:
    order = await shop.place()
    await hand.schedule(order, JobKind.CAPTURE)
    await shop.conn.execute("update grace.jobs set attempts = $1 where kind = 'capture'", attempts)
    assert (await hand.run(order, JobKind.CAPTURE))["state"] == "done"
    assert await hand.ops(order) == ([] if attempts == 0 else ["retrieve"]) + ["capture"]


@pytest.mark.parametrize("attempts", [0, 1])
async def test_a_void_of_a_session(hand: Hand, shop: Shop, attempts: int) -> None:
    order = await shop.place(payments=(), total=Decimal(30))
    session = await open_session(shop.conn, order, await waiting_for(shop, "requires_action"), amount=Decimal(30))
    await hand.cancel(order)
    await shop.conn.execute("update grace.jobs set attempts = $1 where kind = 'void'", attempts)
    assert (await hand.run(order, JobKind.VOID))["state"] == "done"
    requests = await shop.sandbox.requests()
    asked = [request["op"] for request in requests if request["object_id"] == session.intent_id]
    verbs = [op.removeprefix("payment_intents.") for op in asked]
    assert [verb for verb in verbs if verb in {"retrieve", "cancel"}] == ["retrieve", "cancel"][1 - attempts :]


@pytest.mark.parametrize("state", ["canceled", "succeeded"])
async def test_a_void_that_is_not_needed_any_more_is_retrieved_only(hand: Hand, shop: Shop, state: str) -> None:
    order = await shop.place(amounts=("30",))
    await hand.cancel(order)
    await shop.conn.execute("update grace.jobs set attempts = 1 where kind = 'void'")
    over = answer_of(order.intent_ids[0], state, 3000 if state == "succeeded" else 0)
    assert (await answering(hand, look=over).run(order, JobKind.VOID))["state"] == "done"
    assert await hand.ops(order) == []
    assert await shop.incidents(order) == (["late_money"] if state == "succeeded" else [])
