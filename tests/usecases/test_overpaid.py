"""Money that arrives on an open order beyond what it owes is named, by whatever path it came, until it is refunded."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from decimal import Decimal

import pytest

from app.domain.jobs import JobKind
from app.embedded.shop import SYSTEM, PlacedOrder
from app.embedded.shop_acts import add_credit_line, capture_by_medusa, refund_by_medusa
from app.embedded.shop_rows import next_version, now_ms
from app.embedded.shop_sessions import book_session, open_session
from app.usecases.heal_incidents import heal_incidents
from app.usecases.track_payments import start_tracking, track_payments
from tests.usecases.canned import answer_of, answering
from tests.usecases.hand import Hand
from tests.usecases.test_sessions import upkeep, waiting_for, work
from tests.world import Shop

Arrival = Callable[[Hand, PlacedOrder], Awaitable[PlacedOrder]]
THIRTY = Decimal(30)


async def _captured(hand: Hand, shop: Shop, **options: object) -> PlacedOrder:
    """An order of 30.00 EUR whose hold we captured."""
    await start_tracking(hand.services, now_ms())
    order = await shop.place(amounts=("30",), **options)
    await track_payments(hand.services)
    assert (await hand.run(order, JobKind.CAPTURE))["state"] == "done"
    await upkeep(hand)
    assert await shop.incidents(order, open_only=False) == []
    return order


async def a_payment_link(hand: Hand, order: PlacedOrder) -> PlacedOrder:
    """Paid with automatic capture: captured when its row is first seen."""
    intent = await hand.shop.sandbox.authorize(3000, "eur", capture_method="automatic")
    session = await open_session(hand.shop.conn, order, intent, amount=THIRTY)
    return await book_session(hand.shop.conn, order, session, intent, captured=True)


async def marked_as_paid(hand: Hand, order: PlacedOrder) -> PlacedOrder:
    session = await open_session(
        hand.shop.conn, order, {"id": ""}, amount=THIRTY, provider_id=SYSTEM, status="authorized"
    )
    return await book_session(hand.shop.conn, order, session, {}, captured=True)


async def a_session_alone(hand: Hand, order: PlacedOrder) -> PlacedOrder:
    """Paid later: Medusa keeps Stripe's answer, and makes no payment."""
    session = await open_session(hand.shop.conn, order, await waiting_for(hand.shop, "requires_action"), amount=THIRTY)
    paid = answer_of(session.intent_id, "succeeded", 3000).intent.raw
    await hand.shop.conn.execute(
        "update payment_session set data = $2::text::jsonb, updated_at = now() where id = $1",
        session.id,
        json.dumps(paid),
    )
    return order


async def a_webhook_about_a_session(hand: Hand, order: PlacedOrder) -> PlacedOrder:
    session = await open_session(hand.shop.conn, order, await waiting_for(hand.shop, "requires_action"), amount=THIRTY)
    subject = f"{session.id}:evt_1"
    await hand.schedule(order, JobKind.LOOK, [subject])
    await answering(hand, look=answer_of(session.intent_id, "succeeded", 3000)).run(order, JobKind.LOOK, subject)
    return order


ARRIVALS: dict[str, Arrival] = {
    "payment link": a_payment_link,
    "marked as paid": marked_as_paid,
    "a session alone": a_session_alone,
    "a webhook about a session": a_webhook_about_a_session,
}


@pytest.mark.parametrize("status", ["pending", "completed", "archived"])
@pytest.mark.parametrize("name", ARRIVALS)
async def test_it_is_captured_too_much(hand: Hand, shop: Shop, name: str, status: str) -> None:
    order = await _captured(hand, shop)
    await shop.conn.execute('update "order" set status = $2::text::order_status_enum where id = $1', order.id, status)

    await ARRIVALS[name](hand, order)
    for _ in range(2):
        await upkeep(hand)

    assert await shop.incidents(order, open_only=False) == ["over_captured"]
    detail = await shop.conn.fetchval("select detail from grace.incidents where order_id = $1", order.id)
    assert detail == "60.00 EUR captured, the order comes to 30.00 EUR: refund 30.00 EUR"


@pytest.mark.parametrize("settled_by", ["refund", "a higher total", "canceled"])
async def test_it_is_over_when_it_is_refunded_or_owed(hand: Hand, shop: Shop, settled_by: str) -> None:
    order = await a_payment_link(hand, await _captured(hand, shop))
    await upkeep(hand)
    assert await shop.incidents(order) == ["over_captured"]

    if settled_by == "refund":
        await refund_by_medusa(shop.conn, order, order.payment_ids[1])
    elif settled_by == "a higher total":
        await next_version(shop.conn, order.id, now_ms(), credit=Decimal(-30))
    else:
        await shop.conn.execute("update \"order\" set status = 'canceled', canceled_at = now() where id = $1", order.id)
    for _ in range(2):
        await upkeep(hand)

    assert await shop.incidents(order) == (["late_money"] if settled_by == "canceled" else [])


async def test_a_session_that_is_refunded_in_the_dashboard_is_over(hand: Hand, shop: Shop) -> None:
    order = await a_session_alone(hand, await _captured(hand, shop))
    await upkeep(hand)
    assert await shop.incidents(order) == ["over_captured"]
    session = await shop.row("select id, data ->> 'id' as intent from payment_session order by id desc limit 1")

    subject = f"{session['id']}:evt_2"
    await hand.schedule(order, JobKind.LOOK, [subject])
    refunded = answer_of(session["intent"], "succeeded", 3000, refunded=3000)
    await answering(hand, look=refunded).run(order, JobKind.LOOK, subject)
    await heal_incidents(hand.services)

    assert await shop.incidents(order) == []
    await upkeep(hand)
    assert await shop.incidents(order) == []


async def test_a_total_that_is_lowered_afterwards_is_the_shops_own_business(hand: Hand, shop: Shop) -> None:
    order = await _captured(hand, shop)
    await add_credit_line(shop.conn, order, Decimal(10))
    for _ in range(2):
        await upkeep(hand)
    assert await shop.incidents(order, open_only=False) == []

    await a_payment_link(hand, order)
    await upkeep(hand)
    assert await shop.incidents(order) == ["over_captured"]


async def test_an_edit_after_the_money_hides_nothing(hand: Hand, shop: Shop) -> None:
    order = await a_payment_link(hand, await _captured(hand, shop))
    await next_version(shop.conn, order.id, now_ms() + timedelta(seconds=1))
    await upkeep(hand)
    assert await shop.incidents(order) == ["over_captured"]


async def test_rounding_is_no_money(hand: Hand, shop: Shop) -> None:
    """Medusa's webhook books 29.74 of an order of 29.7381."""
    await start_tracking(hand.services, now_ms())
    order = await shop.place()
    await capture_by_medusa(shop.conn, order, order.payment_ids[0], Decimal("29.74"))
    for _ in range(2):
        await upkeep(hand)
    assert await shop.incidents(order, open_only=False) == []


async def test_two_payments_that_the_order_owes_are_no_trouble(hand: Hand, shop: Shop) -> None:
    await start_tracking(hand.services, now_ms())
    order = await shop.place(amounts=("30",), total=THIRTY * 2)
    await track_payments(hand.services)
    await hand.run(order, JobKind.CAPTURE)
    await a_payment_link(hand, order)
    await upkeep(hand)
    assert await shop.incidents(order, open_only=False) == []


async def test_what_was_paid_before_this_sidecar_is_left_to_the_shop(hand: Hand, shop: Shop) -> None:
    order = await a_payment_link(hand, await shop.place(amounts=("30",)))
    await capture_by_medusa(shop.conn, order, order.payment_ids[0])
    for table in ("capture", "payment", "order_summary"):
        await shop.conn.execute(f"update {table} set created_at = created_at - interval '3 hours'")
    await start_tracking(hand.services, now_ms())
    for _ in range(2):
        await upkeep(hand)
    assert await shop.incidents(order, open_only=False) == []


async def test_what_a_person_has_settled_stays_closed(hand: Hand, shop: Shop) -> None:
    order = await a_payment_link(hand, await _captured(hand, shop))
    await upkeep(hand)
    await shop.conn.execute("update grace.incidents set closed_at = now(), settled = true")
    for _ in range(2):
        await upkeep(hand)
    assert await shop.incidents(order) == []


async def test_the_second_of_two_sums_is_a_hold_that_is_voided(hand: Hand, shop: Shop) -> None:
    """A payment link that is held, and not captured: nothing is charged beyond the total."""
    order = await _captured(hand, shop)
    intent = await shop.sandbox.authorize(3000, "eur")
    session = await open_session(shop.conn, order, intent, amount=THIRTY)
    order = await book_session(shop.conn, order, session, intent)
    await track_payments(hand.services)
    assert (await hand.run(order, JobKind.CAPTURE, order.payment_ids[1]))["state"] == "removed"
    await work(hand, order, JobKind.VOID)
    await upkeep(hand)
    assert (await shop.sandbox.intent(session.intent_id))["status"] == "canceled"
    assert await shop.incidents(order, open_only=False) == []
