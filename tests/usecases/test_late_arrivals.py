"""Money that arrives on a canceled order by ways that nothing announces is found, however late it comes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from decimal import Decimal

import pytest

from app.domain.jobs import JobKind
from app.embedded.shop import STRIPE, SYSTEM, PlacedOrder
from app.embedded.shop_acts import cancel_by_medusa, capture_by_medusa
from app.embedded.shop_rows import now_ms
from app.embedded.shop_sessions import book_session, open_session
from app.usecases.track_payments import start_tracking
from tests.usecases.hand import Hand
from tests.usecases.test_sessions import MINOR, upkeep, waiting_for, work
from tests.world import Shop

Arrival = Callable[[Hand, PlacedOrder], Awaitable[PlacedOrder]]


async def a_payment_link(hand: Hand, order: PlacedOrder) -> PlacedOrder:
    """A collection of its own, paid with automatic capture: captured when its row is first seen."""
    intent = await hand.shop.sandbox.authorize(MINOR, "eur", capture_method="automatic")
    session = await open_session(hand.shop.conn, order, intent, amount=Decimal("29.74"))
    return await book_session(hand.shop.conn, order, session, intent, captured=True)


async def marked_as_paid(hand: Hand, order: PlacedOrder) -> PlacedOrder:
    session = await open_session(
        hand.shop.conn, order, {"id": ""}, amount=Decimal(10), provider_id=SYSTEM, status="authorized"
    )
    return await book_session(hand.shop.conn, order, session, {}, captured=True)


async def an_old_row_is_captured(hand: Hand, order: PlacedOrder) -> PlacedOrder:
    """Somebody opens the payment again and captures it in Medusa's admin."""
    await hand.shop.conn.execute("update payment set canceled_at = null where id = $1", order.payment_ids[0])
    await capture_by_medusa(hand.shop.conn, order, order.payment_ids[0])
    return order


ARRIVALS: dict[str, Arrival] = {
    "payment link": a_payment_link,
    "marked as paid": marked_as_paid,
    "captured much later": an_old_row_is_captured,
}


async def _canceled(hand: Hand, shop: Shop, *, by_admin: bool) -> PlacedOrder:
    """Canceled a month ago, and looked after since."""
    await start_tracking(hand.services, now_ms())
    order = await shop.place()
    if by_admin:
        await cancel_by_medusa(shop.conn, order)
    else:
        await hand.cancel(order)
        await hand.run(order, JobKind.VOID)
        await hand.run(order, JobKind.RELEASE)
    await upkeep(hand)
    assert await shop.incidents(order, open_only=False) == []
    await shop.conn.execute("update grace.cancellations set canceled_at = canceled_at - interval '30 days'")
    return order


@pytest.mark.parametrize("by_admin", [False, True], ids=["by us", "by Medusa's admin"])
@pytest.mark.parametrize("name", ARRIVALS)
async def test_it_is_late_money(hand: Hand, shop: Shop, name: str, by_admin: bool) -> None:
    order = await _canceled(hand, shop, by_admin=by_admin)

    await ARRIVALS[name](hand, order)
    await upkeep(hand)

    assert await shop.incidents(order) == ["late_money"]


async def test_a_hold_is_voided(hand: Hand, shop: Shop) -> None:
    order = await _canceled(hand, shop, by_admin=False)
    intent = await shop.sandbox.authorize(MINOR, "eur")
    session = await open_session(shop.conn, order, intent, amount=Decimal("29.74"), provider_id=STRIPE)
    order = await book_session(shop.conn, order, session, intent)

    await upkeep(hand)
    await work(hand, order, JobKind.VOID)

    assert (await shop.sandbox.intent(session.intent_id))["status"] == "canceled"
    assert await shop.incidents(order, open_only=False) == []


async def test_a_session_that_is_made_late_is_voided(hand: Hand, shop: Shop) -> None:
    order = await _canceled(hand, shop, by_admin=True)
    session = await open_session(
        shop.conn, order, await waiting_for(shop, "requires_action"), amount=Decimal("29.74"), status="pending"
    )

    await upkeep(hand)
    await work(hand, order, JobKind.VOID)

    assert (await shop.sandbox.intent(session.intent_id))["status"] == "canceled"
