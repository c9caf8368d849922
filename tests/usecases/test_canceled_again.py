"""An order is canceled, opened again and canceled again: what is held is voided, and what was taken is refunded."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from decimal import Decimal

import pytest

from app.domain.jobs import JobKind
from app.embedded.shop import PlacedOrder
from app.embedded.shop_acts import capture_by_medusa
from app.embedded.shop_rows import now_ms
from app.embedded.shop_sessions import open_session
from app.usecases.heal_incidents import heal_incidents
from app.usecases.track_payments import start_tracking
from tests.usecases.canned import answer_of, answering, intent_of
from tests.usecases.hand import Hand
from tests.usecases.test_sessions import upkeep, waiting_for, work
from tests.world import Shop

Cancel = Callable[[Hand, PlacedOrder], Awaitable[object]]


async def _by_us(hand: Hand, order: PlacedOrder) -> None:
    await hand.cancel(order)


async def _by_admin(hand: Hand, order: PlacedOrder) -> None:
    """Stripe answered neither the void nor the refund, and Medusa only logs that."""
    await hand.shop.conn.execute(
        "update \"order\" set status = 'canceled', canceled_at = now() where id = $1", order.id
    )


CANCELS = pytest.mark.parametrize("cancel", [_by_us, _by_admin], ids=["by us", "by Medusa's admin"])


async def _open_again(shop: Shop, order: PlacedOrder) -> None:
    await shop.conn.execute("update \"order\" set status = 'pending', canceled_at = null where id = $1", order.id)


async def _refunded_late(hand: Hand, shop: Shop) -> PlacedOrder:
    """Captured while it was canceled, and refunded by us."""
    await start_tracking(hand.services, now_ms())
    order = await shop.place(amounts=("30",))
    await hand.cancel(order)
    paid = intent_of(order, "succeeded", 1000, refunded=0)
    back = intent_of(order, "succeeded", 1000, refunded=1000)
    await answering(hand, void=paid).run(order, JobKind.VOID)
    assert (await answering(hand, look=paid, refund=back).run(order, JobKind.REFUND))["state"] == "done"
    assert await shop.incidents(order) == []
    return order


async def _captures_more(shop: Shop, order: PlacedOrder) -> None:
    """While it is open: Stripe took 20.00 more of the hold, and the shop booked it."""
    await shop.conn.execute(
        "insert into capture (id, amount, raw_amount, payment_id, created_at) "
        "values ('capt_more', 20, '{}', $1, now())",
        order.payment_ids[0],
    )


async def test_money_taken_between_two_cancels_is_refunded(hand: Hand, shop: Shop) -> None:
    hand = hand.refunding()
    order = await _refunded_late(hand, shop)
    await _open_again(shop, order)
    await _captures_more(shop, order)
    await _by_admin(hand, order)

    await upkeep(hand)

    assert await shop.incidents(order) == ["late_money"]
    more, back = (intent_of(order, "succeeded", 3000, refunded=refunded) for refunded in (1000, 3000))
    refund = await answering(hand, look=more, refund=back).run(order, JobKind.REFUND)
    assert (refund["state"], refund["key_number"]) == ("done", 2)
    assert await shop.incidents(order) == []
    assert await shop.conn.fetchval("select sum(amount) from refund") == Decimal(30)


async def test_a_refund_that_ended_since_the_cancel_is_not_begun_again(hand: Hand, shop: Shop) -> None:
    """Rows that Stripe contradicts stay with the incident: no call to Stripe at every round."""
    hand = hand.refunding()
    order = await _refunded_late(hand, shop)
    await _captures_more(shop, order)

    for _ in range(3):
        await upkeep(hand)

    assert await shop.incidents(order) == ["late_money"]
    assert (await hand.job(order, JobKind.REFUND))["state"] == "done"


async def test_late_money_of_an_order_that_was_opened_again_is_its_own(hand: Hand, shop: Shop) -> None:
    order = await shop.place(amounts=("30",))
    await hand.cancel(order)
    await answering(hand, void=intent_of(order, "succeeded", 3000)).run(order, JobKind.VOID)
    assert await shop.incidents(order) == ["late_money"]
    await _open_again(shop, order)

    await heal_incidents(hand.services)
    assert await shop.incidents(order) == []
    await _by_admin(hand, order)
    await upkeep(hand)

    assert await shop.incidents(order) == ["late_money"]


@pytest.mark.parametrize("captured", ["10", "30"], ids=["in part", "in flight"])
async def test_a_capture_that_medusa_leaves_behind_is_voided_at_the_second_cancel(
    hand: Hand, shop: Shop, captured: str
) -> None:
    await start_tracking(hand.services, now_ms())
    order = await shop.place(amounts=("30",))
    await hand.cancel(order)
    await hand.run(order, JobKind.VOID)
    await _open_again(shop, order)
    await shop.conn.execute("update payment set canceled_at = null where id = $1", order.payment_ids[0])
    await shop.conn.execute(
        "insert into capture (id, amount, raw_amount, payment_id, created_at) "
        "values ('capt_1', $2, '{}', $1, now() - interval '1 hour')",
        order.payment_ids[0],
        Decimal(captured),
    )
    await _by_admin(hand, order)

    for _ in range(2):
        await upkeep(hand)
        assert (await hand.job(order, JobKind.VOID))["state"] == "scheduled"
    await answering(hand, look=intent_of(order, "canceled")).run(order, JobKind.VOID)
    for _ in range(2):
        await upkeep(hand)

    assert (await hand.job(order, JobKind.VOID))["state"] == "done", "it is voided once for each cancel"


@CANCELS
async def test_a_session_is_voided_at_each_cancel(hand: Hand, shop: Shop, cancel: Cancel) -> None:
    await start_tracking(hand.services, now_ms())
    order = await shop.place(payments=(), total=Decimal(30))
    intent = await waiting_for(shop, "requires_action")
    session = await open_session(shop.conn, order, intent, amount=Decimal(30))
    await hand.cancel(order)
    await _open_again(shop, order)
    assert (await hand.run(order, JobKind.VOID))["state"] == "removed"

    await cancel(hand, order)
    await upkeep(hand)
    await work(hand, order, JobKind.VOID)

    assert (await hand.job(order, JobKind.VOID))["state"] == "done"
    assert (await shop.sandbox.intent(session.intent_id))["status"] == "canceled"


async def test_a_session_that_was_paid_between_two_cancels_is_refunded(hand: Hand, shop: Shop) -> None:
    hand = hand.refunding()
    await start_tracking(hand.services, now_ms())
    order = await shop.place(payments=(), total=Decimal(30))
    session = await open_session(shop.conn, order, await waiting_for(shop, "processing"), amount=Decimal(30))
    await hand.cancel(order)
    part, part_back, whole, whole_back = (
        answer_of(session.intent_id, "succeeded", received, refunded=refunded)
        for received, refunded in ((1000, 0), (1000, 1000), (3000, 1000), (3000, 3000))
    )
    await answering(hand, void=part, look=part).run(order, JobKind.VOID)
    await answering(hand, look=part, refund=part_back).run(order, JobKind.REFUND)
    await _open_again(shop, order)
    subject = f"{session.id}:evt_1"
    await hand.schedule(order, JobKind.LOOK, [subject])
    await answering(hand, look=whole).run(order, JobKind.LOOK, subject)
    await _by_admin(hand, order)

    await upkeep(hand)

    assert await shop.incidents(order) == ["late_money"]
    refund = await answering(hand, look=whole, refund=whole_back).run(order, JobKind.REFUND)
    assert refund["state"] == "done"
    assert await shop.incidents(order) == []


@CANCELS
async def test_a_hold_of_another_provider_is_named_at_each_cancel(hand: Hand, shop: Shop, cancel: Cancel) -> None:
    order = await shop.place(amounts=("30",))
    await shop.conn.execute("update payment set provider_id = 'pp_paypal_main' where id = $1", order.payment_ids[0])
    await hand.cancel(order)
    await hand.run(order, JobKind.VOID)
    assert await shop.incidents(order) == ["unsupported_provider"]
    await shop.conn.execute("update grace.incidents set closed_at = now()")
    await _open_again(shop, order)
    await shop.conn.execute("update payment set canceled_at = null where id = $1", order.payment_ids[0])

    await cancel(hand, order)
    await upkeep(hand)
    await work(hand, order, JobKind.VOID)

    assert await shop.incidents(order) == ["unsupported_provider"]


async def test_captured_in_full_between_two_cancels(hand: Hand, shop: Shop) -> None:
    """The second cancel is the admin's, whose refund fails: the refund job of the first cancel is done again."""
    hand = hand.refunding()
    await start_tracking(hand.services, now_ms())
    order = await shop.place(amounts=("30",))
    await hand.cancel(order)
    released = intent_of(order, "canceled")
    await answering(hand, void=released).run(order, JobKind.VOID)
    await hand.schedule(order, JobKind.REFUND)
    await answering(hand, look=released).run(order, JobKind.REFUND)
    await _open_again(shop, order)
    await shop.conn.execute("update payment set canceled_at = null where id = $1", order.payment_ids[0])
    await capture_by_medusa(shop.conn, order, order.payment_ids[0])
    await _by_admin(hand, order)

    await upkeep(hand)

    assert (await hand.job(order, JobKind.REFUND))["state"] == "scheduled"
    assert await shop.incidents(order) == ["late_money"]
