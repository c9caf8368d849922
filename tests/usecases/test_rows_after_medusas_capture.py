"""Rows around money that Medusa captured beside our cancel: it reads, adds up and writes back, and takes no lock."""

from __future__ import annotations

from decimal import Decimal

import asyncpg
import pytest

from app.domain.jobs import JobKind
from app.embedded.shop import PlacedOrder
from app.embedded.shop_acts import capture_by_medusa, settle_capture
from app.embedded.shop_rows import add_transaction, now_ms
from app.ports import LateMoney
from app.usecases.recheck_canceled import recheck_canceled
from tests.promises import broken_promises
from tests.usecases.hand import Hand
from tests.usecases.ledger_rows import twins_agree
from tests.world import Shop

WHOLE = Decimal("29.7381")


async def test_a_payment_captured_beside_our_cancel_can_be_refunded_in_the_admin(hand: Hand, shop: Shop) -> None:
    """Its Refund button is shut as long as ``canceled_at`` stands, and late money is to be refunded there."""
    order = await _canceled(hand, shop)
    await _captured(hand, shop, order)
    assert (await shop.payment(order))["canceled_at"] is not None, "Medusa leaves it"
    await recheck_canceled(hand.services)
    payment = await shop.payment(order)
    assert (payment["captured_at"] is not None, payment["canceled_at"]) == (True, None)
    assert await shop.incidents(order) == ["late_money"]


async def test_sums_that_medusa_wrote_over_our_refund_are_put_right(hand: Hand, shop: Shop) -> None:
    """It read collection and summary before the refund was booked, and wrote them back afterwards."""
    hand = hand.with_policy(late_money=LateMoney.REFUND, publishes_events=False)
    order = await _canceled(hand, shop)
    capture_id = await _captured(hand, shop, order, booked=False)
    await hand.run(order, JobKind.VOID)
    await hand.run(order, JobKind.REFUND)
    summary, collection = await _sums(shop, order)
    await add_transaction(shop.conn, order.id, WHOLE, "capture", capture_id, now_ms())
    await shop.conn.execute("update order_summary set totals = $2 where id = $1", summary["id"], summary["totals"])
    await shop.conn.execute(
        "update payment_collection set refunded_amount = 0, raw_refunded_amount = $2 where id = $1",
        collection["id"],
        '{"value": "0", "precision": 20}',
    )
    assert {finding.defect.value for finding in await broken_promises(shop, shop.sandbox)} == {
        "collection_differs_from_rows",
        "summary_differs_from_transactions",
    }

    await recheck_canceled(hand.services)

    assert await broken_promises(shop, shop.sandbox) == []
    await twins_agree(shop.conn, order)
    again = await _sums(shop, order)
    await recheck_canceled(hand.services)
    assert await _sums(shop, order) == again, "where all is well nothing is written"


@pytest.mark.parametrize("minutes", [1, 6])
async def test_what_medusa_never_booked_is_booked_once_its_capture_is_over_for_certain(
    hand: Hand, shop: Shop, minutes: int
) -> None:
    order = await _canceled(hand, shop)
    await _captured(hand, shop, order, booked=False)
    await shop.conn.execute("update capture set created_at = created_at - $1 * interval '1 minute'", minutes)
    for _ in range(2):
        await recheck_canceled(hand.services)
    booked = await shop.conn.fetch("select amount from order_transaction where order_id = $1", order.id)
    assert [row["amount"] for row in booked] == ([WHOLE] if minutes > 5 else [])
    await twins_agree(shop.conn, order)


async def _canceled(hand: Hand, shop: Shop) -> PlacedOrder:
    order = await shop.place()
    await hand.cancel(order)
    await hand.run(order, JobKind.RELEASE)
    return order


async def _captured(hand: Hand, shop: Shop, order: PlacedOrder, *, booked: bool = True) -> str:
    """By Medusa, which had read the payment before the cancel. Its transaction and summary too, where ``booked``."""
    (payment_id,) = order.payment_ids
    canceled_at = (await shop.payment(order))["canceled_at"]
    await shop.conn.execute("update payment set canceled_at = null where id = $1", payment_id)
    capture_id = await capture_by_medusa(shop.conn, order, payment_id, in_flight=True)
    await hand.services.gateway.capture(order.intent_ids[0], amount=2974, key=capture_id)
    await settle_capture(shop.conn, order, capture_id)
    await shop.conn.execute("update payment set canceled_at = $2 where id = $1", payment_id, canceled_at)
    if not booked:
        zero = '{"value": "0", "precision": 20}'
        await shop.conn.execute("delete from order_transaction where order_id = $1", order.id)
        await shop.conn.execute(
            "update order_summary set totals = totals || jsonb_build_object("
            "'paid_total', 0, 'transaction_total', 0, 'pending_difference', totals -> 'current_order_total', "
            "'raw_paid_total', $2::text::jsonb, 'raw_transaction_total', $2::text::jsonb, "
            "'raw_pending_difference', totals -> 'raw_current_order_total') where order_id = $1",
            order.id,
            zero,
        )
    return capture_id


async def _sums(shop: Shop, order: PlacedOrder) -> tuple[asyncpg.Record, asyncpg.Record]:
    summary = await shop.row("select * from order_summary where order_id = $1", order.id)
    return summary, await shop.row("select * from payment_collection where id = $1", order.collection_ids[0])
