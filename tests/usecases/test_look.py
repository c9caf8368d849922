"""A hint of Stripe's is a look at the payment, and the last hint is never the one that is lost."""

from __future__ import annotations

import itertools

from app.domain.jobs import JobKind, JobState
from app.embedded.shop import PlacedOrder
from app.store import jobs
from tests.usecases.hand import Hand
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


async def _hint(shop: Shop, order: PlacedOrder) -> str:
    """An event about the order's payment; the subject of the look it asks for."""
    subject = f"{order.payment_ids[0]}:evt_{next(_EVENTS)}"
    await jobs.schedule(shop.conn, JobKind.LOOK, order.id, [subject])
    return subject
