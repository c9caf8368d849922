"""Orders that Medusa canceled, captured or packed on its own: what it left undone is seen to."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from app.domain.cancellation import PaymentAction
from app.domain.incidents import IncidentKind
from app.domain.jobs import JobKind, JobState
from app.embedded.shop import PlacedOrder
from app.embedded.shop_acts import (
    archive,
    cancel_by_medusa,
    capture_by_medusa,
    drop_capture,
    refund_by_medusa,
    settle_capture,
)
from app.embedded.shop_parcels import cancel_fulfillment, fulfill
from app.ports import Unavailable
from app.store import incidents
from app.usecases.adopt_canceled import adopt_canceled
from app.usecases.heal_incidents import heal_incidents
from app.usecases.recheck_canceled import recheck_canceled
from tests.usecases.hand import Hand, nobody_is_told
from tests.world import Shop, stepping_in


async def test_medusas_cancel_whose_void_failed_becomes_our_void(hand: Hand, shop: Shop) -> None:
    order, open_one = await _waiting(hand, shop), await _waiting(hand, shop)
    await cancel_by_medusa(shop.conn, order, void_succeeded=False)

    assert await adopt_canceled(hand.services) == 1

    assert (await hand.job(order, JobKind.CAPTURE))["state"] == "removed"
    assert (await shop.payment(order))["canceled_at"] is not None, "Medusa's Capture button is shut"
    assert (await hand.run(order, JobKind.VOID))["state"] == "done"
    assert (await shop.sandbox.ledger())[order.intent_ids[0]].voids == 1
    assert await nobody_is_told(hand, order)
    assert await hand.jobs(open_one) == {("capture", open_one.payment_ids[0]): "scheduled"}


async def test_medusas_cancel_that_went_well_only_ends_the_capture(hand: Hand, shop: Shop) -> None:
    order = await _waiting(hand, shop)
    await cancel_by_medusa(shop.conn, order)
    await archive(shop.conn, order)
    assert await adopt_canceled(hand.services) == 1
    assert await hand.jobs(order) == {("capture", order.payment_ids[0]): "removed"}
    assert await hand.payment_action(order) is PaymentAction.VOIDED


async def test_adoption_walks_through_all_waiting_captures_in_windows(
    hand: Hand, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.usecases.adopt_canceled.WINDOW", 3)
    orders = [await _waiting(hand, shop) for _ in range(7)]
    for number in (1, 6):
        await cancel_by_medusa(shop.conn, orders[number])
    assert [await adopt_canceled(hand.services) for _ in range(3)] == [1, 0, 1]
    late = await _waiting(hand, shop)
    for order in (orders[0], late):
        await cancel_by_medusa(shop.conn, order)
    assert [await adopt_canceled(hand.services) for _ in range(3)] == [1, 0, 1], "it begins anew"


@pytest.mark.parametrize("refunds", [False, True], ids=["LATE_MONEY=alert", "LATE_MONEY=refund"])
async def test_canceled_after_our_capture_and_not_refunded_is_late_money(hand: Hand, shop: Shop, refunds: bool) -> None:
    """Medusa's cancel refunds what was captured, and only logs that Stripe refused: our job was done long ago."""
    hand = hand.refunding() if refunds else hand
    order, kept = await _waiting(hand, shop), await _waiting(hand, shop)
    for captured in (order, kept):
        assert (await hand.run(captured, JobKind.CAPTURE))["state"] == "done"
    assert await adopt_canceled(hand.services) == 0
    await shop.conn.execute("update \"order\" set status = 'canceled', canceled_at = now() where id = $1", order.id)

    assert await adopt_canceled(hand.services) == 1

    assert await shop.incidents(order) == ["late_money"]
    assert (await hand.job(order, JobKind.CAPTURE))["state"] == "done", "what was done stays done"
    assert await nobody_is_told(hand, kept)
    for _ in range(3):
        await adopt_canceled(hand.services)
    assert await shop.incidents(order, open_only=False) == ["late_money"], "told once"
    if refunds:
        assert (await hand.run(order, JobKind.REFUND))["state"] == "done"
        assert await shop.incidents(order) == []
    line = (await shop.sandbox.ledger())[order.intent_ids[0]]
    assert (line.captured, line.refunded) == (2974, 2974 if refunds else 0)
    assert await adopt_canceled(hand.services) == (0 if refunds else 1)


async def test_canceled_after_our_capture_and_refunded_is_nobodys_business(hand: Hand, shop: Shop) -> None:
    order = await _waiting(hand, shop)
    await hand.run(order, JobKind.CAPTURE)
    await cancel_by_medusa(shop.conn, order)
    assert await adopt_canceled(hand.services) == 0
    assert await nobody_is_told(hand, order)


async def test_two_workers_do_not_adopt_at_once(hand: Hand, shop: Shop) -> None:
    order = await _waiting(hand, shop)
    await cancel_by_medusa(shop.conn, order, void_succeeded=False)
    await asyncio.gather(*(adopt_canceled(hand.services) for _ in range(4)))
    assert (await hand.job(order, JobKind.CAPTURE))["state"] == "removed"
    assert await shop.conn.fetchval("select count(*) from grace.jobs where kind = 'void'") == 1


@pytest.mark.parametrize("trouble", ["locked", "broken"])
@pytest.mark.parametrize("step", ["adopt", "recheck", "heal"])
async def test_one_order_in_trouble_does_not_keep_the_others_waiting(
    hand: Hand, shop: Shop, step: str, trouble: str
) -> None:
    orders = [await _late_money(hand, shop) for _ in range(3)]
    for order in orders:
        await hand.schedule(order, JobKind.CAPTURE)
    await shop.conn.execute("delete from grace.incidents")
    if step == "heal":
        for order in orders:
            await incidents.open_(shop.conn, order.id, IncidentKind.FULFILLED, "a test")
    seen: list[str] = []

    async def in_turn(transaction: str) -> None:
        if transaction != step:
            return
        seen.append(step)
        if len(seen) == 1:
            raise Unavailable("locked") if trouble == "locked" else ValueError("broken")

    services = stepping_in(in_turn)(hand.services)
    await {"adopt": adopt_canceled, "recheck": recheck_canceled, "heal": heal_incidents}[step](services)

    told = await shop.conn.fetchval(
        "select count(distinct order_id) from grace.incidents where kind = 'late_money' and closed_at is null"
    )
    assert len(seen) >= 3
    assert told == 2


async def test_canceled_beside_a_capture_of_medusas_that_fails_then(hand: Hand, shop: Shop) -> None:
    """Medusa's cancel does not void what has a capture row, and then the row goes away: nobody would void it."""
    order = await _waiting(hand, shop)
    theirs = await _canceled_beside_a_capture(shop, order)
    await adopt_canceled(hand.services)
    assert (await hand.run(order, JobKind.CAPTURE))["state"] == "scheduled", "it waits for Medusa"
    await drop_capture(shop.conn, theirs)

    await adopt_canceled(hand.services)
    assert (await hand.run(order, JobKind.VOID))["state"] == "done"
    assert (await shop.sandbox.intent(order.intent_ids[0]))["status"] == "canceled"


async def test_canceled_beside_a_capture_of_medusas_that_succeeds(hand: Hand, shop: Shop) -> None:
    order = await _waiting(hand, shop)
    theirs = await _canceled_beside_a_capture(shop, order)
    await adopt_canceled(hand.services)
    await hand.services.gateway.capture(order.intent_ids[0], amount=2974, key=theirs)
    await settle_capture(shop.conn, order, theirs)

    await adopt_canceled(hand.services)
    assert await shop.incidents(order) == ["late_money"]


@pytest.mark.parametrize("taken", [False, True], ids=["hold stands", "money taken"])
async def test_canceled_beside_a_capture_that_medusas_crash_left_behind(hand: Hand, shop: Shop, taken: bool) -> None:
    order = await _waiting(hand, shop)
    theirs = await _canceled_beside_a_capture(shop, order)
    if taken:
        await hand.services.gateway.capture(order.intent_ids[0], amount=2974, key=theirs)
    await shop.conn.execute("update capture set created_at = now() - interval '6 minutes'")

    await hand.run(order, JobKind.CAPTURE)
    assert (await hand.run(order, JobKind.VOID))["state"] == "done"
    assert (await shop.sandbox.intent(order.intent_ids[0]))["status"] == ("succeeded" if taken else "canceled")
    assert await shop.incidents(order) == (["late_money"] if taken else [])


async def test_medusas_capture_that_never_saw_our_cancel_is_late_money(hand: Hand, shop: Shop) -> None:
    """It read the payment before the cancel, and went on after our void had failed."""
    order = await shop.place()
    theirs = await capture_by_medusa(shop.conn, order, order.payment_ids[0], in_flight=True)
    await drop_capture(shop.conn, theirs)
    await hand.cancel(order)
    await shop.conn.execute(
        "insert into capture (id, amount, raw_amount, payment_id) values ('capt_late', 29.7381, '{}', $1)",
        order.payment_ids[0],
    )
    await hand.services.gateway.capture(order.intent_ids[0], amount=2974, key="capt_late")
    await settle_capture(shop.conn, order, "capt_late")
    await hand.run(order, JobKind.VOID)
    assert await shop.incidents(order) == ["late_money"]
    assert await recheck_canceled(hand.services) == 1
    assert await shop.incidents(order) == ["late_money"]


async def test_a_parcel_packed_beside_our_cancel_is_an_incident_until_it_is_unpacked(hand: Hand, shop: Shop) -> None:
    order, untouched = await shop.place(), await shop.place()
    for canceled in (order, untouched):
        await hand.cancel(canceled)
        await hand.run(canceled, JobKind.RELEASE)
    parcel = await fulfill(shop.conn, order)

    assert await recheck_canceled(hand.services) == 1
    assert await shop.incidents(order) == ["fulfilled"]
    await heal_incidents(hand.services)
    assert await shop.incidents(order) == ["fulfilled"]
    await cancel_fulfillment(shop.conn, order, parcel)
    await heal_incidents(hand.services)
    assert await shop.incidents(order) == []
    assert await nobody_is_told(hand, untouched)


async def test_stock_reserved_by_a_checkout_that_made_the_order_first_is_released(hand: Hand, shop: Shop) -> None:
    order = await shop.place()
    await hand.cancel(order)
    await hand.run(order, JobKind.RELEASE)
    await shop.conn.execute("update reservation_item set deleted_at = null where id = $1", order.reservation_ids[0])
    await shop.conn.execute("update inventory_level set reserved_quantity = 1")

    assert await recheck_canceled(hand.services) == 1
    assert (await hand.run(order, JobKind.RELEASE))["state"] == "done"
    assert await shop.conn.fetchval("select reserved_quantity from inventory_level") == 0
    assert await recheck_canceled(hand.services) == 0


async def test_only_recent_cancellations_are_looked_at_again(hand: Hand, shop: Shop) -> None:
    order = await shop.place()
    await hand.cancel(order)
    await fulfill(shop.conn, order)
    for minutes, found in ((9, 1), (11, 0)):
        await shop.conn.execute(
            "update grace.cancellations set canceled_at = now() - make_interval(mins => $1)", minutes
        )
        assert await recheck_canceled(hand.services) == found


async def test_late_money_refunded_in_the_admin_closes_its_incident(hand: Hand, shop: Shop) -> None:
    order = await _late_money(hand, shop)
    await heal_incidents(hand.services)
    assert await shop.incidents(order) == ["late_money"]
    await refund_by_medusa(shop.conn, order, order.payment_ids[0], Decimal("10"))
    await heal_incidents(hand.services)
    assert await shop.incidents(order) == ["late_money"], "a part is not enough"
    await refund_by_medusa(shop.conn, order, order.payment_ids[0])
    await heal_incidents(hand.services)
    assert await shop.incidents(order) == ["late_money"], "the refund may be in flight, and be taken back"
    await _a_while_later(shop)
    await heal_incidents(hand.services)
    assert await shop.incidents(order) == []
    assert await hand.payment_action(order) is PaymentAction.NONE


async def test_a_refund_that_medusa_takes_back_never_closed_the_incident(hand: Hand, shop: Shop) -> None:
    """Its row is written before Stripe is asked, and deleted when Stripe refuses: until then it is no refund."""
    order = await _late_money(hand, shop)
    theirs = await refund_by_medusa(shop.conn, order, order.payment_ids[0])
    for minutes in (0, 4):
        await shop.conn.execute("update refund set created_at = now() - make_interval(mins => $1)", minutes)
        await heal_incidents(hand.services)
        assert await shop.incidents(order) == ["late_money"], f"after {minutes} minutes"
    await shop.conn.execute("delete from refund where id = $1", theirs)
    await heal_incidents(hand.services)
    assert await shop.incidents(order, open_only=False) == ["late_money"]


@pytest.mark.parametrize("settled_by", ["capture", "cancel"])
async def test_a_partial_capture_is_closed_once_somebody_decided(hand: Hand, shop: Shop, settled_by: str) -> None:
    order = await _waiting(hand, shop)
    await capture_by_medusa(shop.conn, order, order.payment_ids[0], Decimal("10"))
    await hand.run(order, JobKind.CAPTURE)
    await heal_incidents(hand.services)
    assert await shop.incidents(order) == ["partial_capture"]
    if settled_by == "capture":
        await capture_by_medusa(shop.conn, order, order.payment_ids[0], Decimal("19.7381"))
    else:
        await cancel_by_medusa(shop.conn, order)
        await _a_while_later(shop)
    await heal_incidents(hand.services)
    assert await shop.incidents(order) == []


async def _a_while_later(shop: Shop) -> None:
    await shop.conn.execute("update refund set created_at = created_at - interval '6 minutes'")


async def _waiting(hand: Hand, shop: Shop) -> PlacedOrder:
    order = await shop.place()
    await hand.schedule(order, JobKind.CAPTURE)
    return order


async def _canceled_beside_a_capture(shop: Shop, order: PlacedOrder) -> str:
    """Medusa's cancel saw the capture row of a capture in flight: it voids nothing, and its refund fails silently."""
    theirs = await capture_by_medusa(shop.conn, order, order.payment_ids[0], in_flight=True)
    await shop.conn.execute("update \"order\" set status = 'canceled', canceled_at = now() where id = $1", order.id)
    return theirs


async def _late_money(hand: Hand, shop: Shop) -> PlacedOrder:
    order = await shop.place()
    await hand.services.gateway.capture(order.intent_ids[0], amount=2974, key=f"by-hand-{order.id}")
    await hand.cancel(order)
    assert await hand.run_until(order, JobKind.VOID, JobState.DONE) == 1
    return order
