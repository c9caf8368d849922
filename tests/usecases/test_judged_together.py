"""What an order owes is judged against all that is held or taken for it, never by one payment alone."""

from __future__ import annotations

from decimal import Decimal

import pytest

from app.domain.jobs import JobKind
from app.embedded.shop import STRIPE, PlacedOrder
from app.embedded.shop_acts import add_credit_line, capture_by_medusa
from app.embedded.shop_rows import insert, new_id, next_version, now_ms, twins
from app.usecases.heal_incidents import heal_incidents
from app.usecases.track_payments import start_tracking, track_payments
from tests.usecases.hand import Hand
from tests.world import Shop


async def _confirm_edit(shop: Shop, order: PlacedOrder, total: str) -> None:
    """Medusa voids the old hold, cancels its collection, and raises the version."""
    moment = now_ms()
    await shop.sandbox.lapse(order.intent_ids[0])
    await shop.conn.execute("update payment set canceled_at = $2 where id = $1", order.payment_ids[0], moment)
    await shop.conn.execute("update payment_collection set status = 'canceled' where id = $1", order.collection_ids[0])
    await next_version(shop.conn, order.id, moment, credit=order.total - Decimal(total))


async def _pay_again(shop: Shop, order: PlacedOrder, amount: str) -> str:
    """The shopper pays the new collection: a new hold."""
    moment = now_ms()
    stamps = {"created_at": moment, "updated_at": moment}
    collection, payment = new_id("pay_col", moment), new_id("pay", moment)
    intent = await shop.sandbox.authorize(int(Decimal(amount) * 100), order.currency)
    sums = twins(
        amount=Decimal(amount),
        authorized_amount=Decimal(amount),
        captured_amount=Decimal(0),
        refunded_amount=Decimal(0),
    )
    common = {"currency_code": order.currency, **stamps}
    await insert(shop.conn, "payment_collection", {"id": collection, **sums, "status": "authorized", **common})
    link = {"order_id": order.id, "payment_collection_id": collection, "id": new_id("ordpay", moment), **stamps}
    await insert(shop.conn, "order_payment_collection", link)
    row = {"id": payment, **twins(amount=Decimal(amount)), "provider_id": STRIPE, "data": intent, **common}
    row |= {"payment_collection_id": collection, "payment_session_id": new_id("payses", moment)}
    await insert(shop.conn, "payment", row)
    return payment


async def _detail(shop: Shop, order: PlacedOrder) -> str:
    row = await shop.row("select detail from grace.incidents where order_id = $1", order.id)
    return str(row["detail"])


async def _placed(hand: Hand, shop: Shop, *amounts: str) -> PlacedOrder:
    await start_tracking(hand.services, now_ms())
    order = await shop.place(amounts=amounts)
    await track_payments(hand.services)
    return order


async def test_an_edit_that_was_paid_again_is_no_trouble(hand: Hand, shop: Shop) -> None:
    order = await _placed(hand, shop, "30")
    await _confirm_edit(shop, order, "40")
    second = await _pay_again(shop, order, "40")
    await track_payments(hand.services)

    old = await hand.run(order, JobKind.CAPTURE, order.payment_ids[0])
    assert await shop.incidents(order, open_only=False) == []
    new = await hand.run(order, JobKind.CAPTURE, second)

    assert (old["state"], old["last_error"], new["state"]) == ("removed", "authorization_canceled", "done")
    assert await shop.incidents(order, open_only=False) == []


async def test_an_edit_that_was_not_paid_again_says_so(hand: Hand, shop: Shop) -> None:
    order = await _placed(hand, shop, "30")
    await _confirm_edit(shop, order, "40")

    await hand.run(order, JobKind.CAPTURE, order.payment_ids[0])

    assert await shop.incidents(order) == ["authorization_lost"]
    detail = await _detail(shop, order)
    assert "40.00 EUR" in detail
    assert "when an edit of the order was confirmed" in detail
    assert "new payment collection" in detail


async def test_a_new_hold_that_covers_only_a_part_is_not_enough(hand: Hand, shop: Shop) -> None:
    order = await _placed(hand, shop, "30")
    await _confirm_edit(shop, order, "40")
    await _pay_again(shop, order, "25")

    await hand.run(order, JobKind.CAPTURE, order.payment_ids[0])

    assert await shop.incidents(order) == ["authorization_lost"]
    assert "15.00 EUR" in await _detail(shop, order)


async def test_the_incident_is_over_once_the_shopper_has_paid_again(hand: Hand, shop: Shop) -> None:
    order = await _placed(hand, shop, "30")
    await _confirm_edit(shop, order, "40")
    await hand.run(order, JobKind.CAPTURE, order.payment_ids[0])
    await heal_incidents(hand.services)
    assert await shop.incidents(order) == ["authorization_lost"]

    await _pay_again(shop, order, "40")
    await heal_incidents(hand.services)

    assert await shop.incidents(order) == []


async def test_a_lost_hold_of_an_order_that_owes_less_now(hand: Hand, shop: Shop) -> None:
    order = await _placed(hand, shop, "30", "20")
    await add_credit_line(shop.conn, order, Decimal(30))
    await shop.sandbox.lapse(order.intent_ids[0])

    job = await hand.run(order, JobKind.CAPTURE, order.payment_ids[0])

    assert job["state"] == "removed"
    assert await shop.incidents(order, open_only=False) == []


@pytest.mark.parametrize("owed", ["20", "21"])
async def test_a_lapse_that_stripe_tells_of(hand: Hand, shop: Shop, owed: str) -> None:
    order = await _placed(hand, shop, "30", "20")
    await add_credit_line(shop.conn, order, Decimal(50) - Decimal(owed))
    await shop.sandbox.lapse(order.intent_ids[0])
    subject = f"{order.payment_ids[0]}:evt_1"
    await hand.schedule(order, JobKind.LOOK, [subject])

    await hand.run(order, JobKind.LOOK, subject)

    assert (await shop.payment(order))["canceled_at"] is not None
    assert await shop.incidents(order) == ([] if owed == "20" else ["authorization_lost"])


async def test_lost_and_nothing_else_is_still_a_lost_hold(hand: Hand, shop: Shop) -> None:
    order = await _placed(hand, shop, "30")
    await shop.sandbox.lapse(order.intent_ids[0])

    job = await hand.run(order, JobKind.CAPTURE)

    assert job["state"] == "dead"
    assert await shop.incidents(order) == ["authorization_lost"]
    assert "edit" not in await _detail(shop, order)


async def test_captured_in_part_is_no_trouble_where_another_hold_covers_the_rest(hand: Hand, shop: Shop) -> None:
    order = await _placed(hand, shop, "30", "20")
    await add_credit_line(shop.conn, order, Decimal(20))
    await capture_by_medusa(shop.conn, order, order.payment_ids[0], Decimal(10))

    await hand.run(order, JobKind.CAPTURE, order.payment_ids[0])

    assert await shop.incidents(order) == []


async def test_captured_in_part_is_over_once_the_rest_is_not_owed(hand: Hand, shop: Shop) -> None:
    order = await _placed(hand, shop, "30")
    await capture_by_medusa(shop.conn, order, order.payment_ids[0], Decimal(10))
    await hand.run(order, JobKind.CAPTURE)
    await heal_incidents(hand.services)
    assert await shop.incidents(order) == ["partial_capture"]

    await add_credit_line(shop.conn, order, Decimal(20))
    await heal_incidents(hand.services)

    assert await shop.incidents(order) == []


async def test_a_capture_that_fails_is_no_trouble_once_another_payment_was_taken(hand: Hand, shop: Shop) -> None:
    order = await _placed(hand, shop, "30")

    async def forget() -> None:
        await shop.conn.execute("update payment set deleted_at = now()")

    await shop.sandbox.fault("payment_intents.capture", "error", status=402)
    await hand.before("capture.record", forget).run(order, JobKind.CAPTURE)
    await heal_incidents(hand.services)
    assert await shop.incidents(order) == ["capture_failed"]

    second = await _pay_again(shop, order, "30")
    await track_payments(hand.services)
    await hand.run(order, JobKind.CAPTURE, second)
    await heal_incidents(hand.services)

    assert await shop.incidents(order) == []
