"""A hint of Stripe's is a look at the payment, and the last hint is never the one that is lost."""

from __future__ import annotations

import itertools
from decimal import Decimal

import pytest

from app.domain.jobs import JobKind, JobState
from app.embedded.shop import PlacedOrder
from app.embedded.shop_acts import capture_by_medusa
from app.store import jobs
from tests.usecases.hand import Hand
from tests.usecases.test_session_corners import reopen
from tests.world import Shop

_EVENTS = itertools.count(1)


async def test_a_look_at_a_lapsed_hold_tells_a_person_before_the_capture_is_due(hand: Hand, shop: Shop) -> None:
    order = await shop.place()
    await shop.sandbox.lapse(order.intent_ids[0])
    await _hint(shop, order)
    assert (await hand.run(order, JobKind.LOOK))["state"] == "done"
    assert await shop.incidents(order) == ["authorization_lost"]


async def test_a_look_at_a_capture_after_the_cancel_is_late_money(hand: Hand, shop: Shop) -> None:
    order = await shop.place()
    await hand.cancel(order)
    await hand.services.gateway.capture(order.intent_ids[0], amount=2974, key="by-hand")
    await _hint(shop, order)
    await hand.refunding().run(order, JobKind.LOOK)
    assert await shop.incidents(order) == ["late_money"]
    assert ("publish", f"payment.captured:{order.payment_ids[0]}") in await hand.jobs(order)
    assert await hand.refunding().run_until(order, JobKind.REFUND, JobState.DONE) == 1
    assert await shop.incidents(order) == []
    assert (await shop.sandbox.ledger())[order.intent_ids[0]].refunds == 1


async def test_a_refund_in_stripes_dashboard_is_booked(hand: Hand, shop: Shop) -> None:
    order = await shop.place()
    await hand.services.gateway.capture(order.intent_ids[0], amount=2974, key="by-hand")
    await hand.cancel(order)
    await hand.run(order, JobKind.VOID)
    assert await shop.incidents(order) == ["late_money"]
    await hand.services.gateway.refund(order.intent_ids[0], amount=2974, key="refund-by-hand")
    await _hint(shop, order)
    await hand.run(order, JobKind.LOOK)
    assert await shop.incidents(order) == []
    assert await shop.conn.fetchval("select count(*) from refund") == 1
    assert ("publish", f"payment.refunded:{order.payment_ids[0]}") in await hand.jobs(order)


async def test_a_second_hint_after_a_look_is_another_look(hand: Hand, shop: Shop) -> None:
    order = await shop.place()
    for _ in range(2):
        await hand.run(order, JobKind.LOOK, await _hint(shop, order))
    assert await hand.ops(order) == ["retrieve", "retrieve"]


async def test_a_hint_that_comes_while_a_look_is_under_way_is_another_look(hand: Hand, shop: Shop) -> None:
    """Stripe was asked before the hold lapsed, and the hint of it came before the answer was recorded."""
    order = await shop.place()
    first = await _hint(shop, order)
    later: list[str] = []

    async def it_lapses() -> None:
        await shop.sandbox.lapse(order.intent_ids[0])
        later.append(await _hint(shop, order))

    await hand.before("look.record", it_lapses).run(order, JobKind.LOOK, first)
    assert (await hand.job(order, JobKind.LOOK, later[0]))["state"] == "scheduled"
    await hand.run(order, JobKind.LOOK, later[0])
    assert await shop.incidents(order) == ["authorization_lost"]


async def test_a_look_leaves_the_capture_of_an_open_order_to_the_job_that_captures(hand: Hand, shop: Shop) -> None:
    """What it takes says more than the intent: the job knows whether it was Medusa that captured."""
    order = await shop.place()
    await hand.schedule(order, JobKind.CAPTURE)
    await hand.services.gateway.capture(order.intent_ids[0], amount=2974, key="by-hand")
    assert (await hand.run(order, JobKind.LOOK, await _hint(shop, order)))["state"] == "done"
    assert (await shop.payment(order))["captured_at"] is None
    assert await shop.conn.fetchval("select count(*) from capture") == 0
    assert (await hand.job(order, JobKind.CAPTURE))["state"] == "scheduled"
    assert (await hand.run(order, JobKind.CAPTURE))["state"] == "done"
    assert await shop.conn.fetchval("select count(*) from capture") == 1


@pytest.mark.parametrize("in_flight", [False, True], ids=["the rest is recorded", "Medusa captures it"])
async def test_a_look_at_a_part_whose_intent_is_taken(hand: Hand, shop: Shop, *, in_flight: bool) -> None:
    """Medusa captured a part, and Stripe has taken all of it; while Medusa's own capture is under way it records it."""
    order = await shop.place()
    await capture_by_medusa(shop.conn, order, order.payment_ids[0], Decimal(10))
    if in_flight:
        await capture_by_medusa(shop.conn, order, order.payment_ids[0], Decimal(5), in_flight=True)
    before = await shop.conn.fetchval("select count(*) from capture")
    await hand.services.gateway.capture(order.intent_ids[0], amount=2974, key="by-hand")
    assert (await hand.run(order, JobKind.LOOK, await _hint(shop, order)))["state"] == "done"
    assert await shop.conn.fetchval("select count(*) from capture") - before == (0 if in_flight else 1)
    assert ((await shop.payment(order))["captured_at"] is None) is in_flight


async def test_a_released_hold_that_the_rows_know_of_is_lost_to_nobody(hand: Hand, shop: Shop) -> None:
    order = await shop.place()
    await hand.cancel(order)
    await hand.run(order, JobKind.VOID)
    await reopen(shop, order)
    assert (await hand.run(order, JobKind.LOOK, await _hint(shop, order)))["state"] == "done"
    assert await shop.incidents(order, open_only=False) == []


NO_INTENT = "no payment with an intent that our key is for"
OTHERS = {
    "another gateway": "update payment set provider_id = 'pp_system_default' where id = $1",
    "no intent": "update payment set data = '{}' where id = $1",
    "gone": "update payment set deleted_at = now() where id = $1",
}


@pytest.mark.parametrize("change", OTHERS)
async def test_a_look_at_what_is_not_at_our_stripe_says_so_and_asks_nobody(hand: Hand, shop: Shop, change: str) -> None:
    order = await shop.place()
    subject = await _hint(shop, order)
    await shop.conn.execute(OTHERS[change], order.payment_ids[0])
    job = await hand.run(order, JobKind.LOOK, subject)
    assert (job["state"], job["last_error"]) == ("removed", NO_INTENT)
    assert await hand.ops(order) == []


async def test_a_payment_that_vanishes_while_stripe_is_asked_is_said_so(hand: Hand, shop: Shop) -> None:
    order = await shop.place()
    subject = await _hint(shop, order)

    async def vanish() -> None:
        await shop.conn.execute(OTHERS["gone"], order.payment_ids[0])

    job = await hand.before("look.record", vanish).run(order, JobKind.LOOK, subject)
    assert (job["state"], job["last_error"]) == ("removed", "vanished from the shop meanwhile")


async def _hint(shop: Shop, order: PlacedOrder) -> str:
    """An event about the order's payment; the subject of the look it asks for."""
    subject = f"{order.payment_ids[0]}:evt_{next(_EVENTS)}"
    await jobs.schedule(shop.conn, JobKind.LOOK, order.id, [subject])
    return subject
