"""Webhooks that come before the rows they are about are kept, and looked at again until a row names them."""

from __future__ import annotations

import pytest

from app.domain.jobs import JobKind
from app.embedded.shop import PlacedOrder
from app.embedded.shop_sessions import Session, book_session, open_session
from app.ports import Hint
from app.store import stripe_events
from app.usecases.take_hint import retry_pending_hints, take_hint
from tests.usecases.hand import Hand
from tests.usecases.test_sessions import AMOUNT, placed, row_of, status_of, waiting_for
from tests.world import Shop


def hint(session: Session, number: int = 1, type_: str = "payment_intent.succeeded") -> Hint:
    return Hint(id=f"evt_{number}", type=type_, intent_id=session.intent_id, session=session.id)


async def waiting(shop: Shop) -> list[str]:
    rows = await shop.conn.fetch("select event_id from grace.pending_stripe_events order by event_id")
    return [row["event_id"] for row in rows]


async def make_due(shop: Shop, age: str = "0") -> None:
    await shop.conn.execute(
        "update grace.pending_stripe_events set next_at = now(), received_at = now() - $1::text::interval", age
    )


async def test_an_event_about_a_session_of_a_canceled_order_is_acted_on(hand: Hand, shop: Shop) -> None:
    order, session = await placed(shop, "processing")
    await hand.cancel(order)
    await hand.run(order, JobKind.VOID)
    await shop.sandbox.settle(session.intent_id)

    await take_hint(hand.services, hint(session))
    job = await hand.run(order, JobKind.LOOK)

    assert (job["subject"], job["state"]) == (f"{session.id}:evt_1", "done")
    assert await shop.incidents(order) == ["late_money"]
    assert await waiting(shop) == []


async def test_an_event_of_a_session_that_was_canceled_is_recorded(hand: Hand, shop: Shop) -> None:
    order, session = await placed(shop, "requires_action")
    await shop.conn.execute("""update "order" set status = 'canceled', canceled_at = now() where id = $1""", order.id)

    await take_hint(hand.services, hint(session, type_="payment_intent.payment_failed"))
    await hand.run(order, JobKind.LOOK)
    await hand.run(order, JobKind.VOID)

    assert await status_of(shop, session) == "canceled"


async def test_of_an_open_order_an_event_records_what_was_paid_and_nothing_else(hand: Hand, shop: Shop) -> None:
    """Else the hold beside the session would be captured as well; the shop makes the payment."""
    order, session = await placed(shop, "processing")
    await shop.sandbox.settle(session.intent_id)

    await take_hint(hand.services, hint(session))
    assert (await hand.run(order, JobKind.LOOK))["state"] == "done"

    assert (await row_of(shop, session))["intent"] == "succeeded"
    assert await shop.conn.fetchval("select count(*) from payment where payment_session_id = $1", session.id) == 0
    assert await shop.incidents(order, open_only=False) == []


async def _unlinked(shop: Shop) -> tuple[PlacedOrder, Session]:
    """A canceled order's collection before Medusa links it."""
    order = await shop.place(payments=(), status="canceled")
    intent = await shop.sandbox.authorize(2974, "eur", capture_method="automatic")
    session = await open_session(shop.conn, order, intent, amount=AMOUNT)
    await shop.conn.execute("update order_payment_collection set deleted_at = now() where order_id = $1", order.id)
    return order, session


async def test_an_event_waits_until_a_row_names_its_intent(hand: Hand, shop: Shop) -> None:
    order, session = await _unlinked(shop)

    for _ in range(2):
        await take_hint(hand.services, hint(session))
    assert await waiting(shop) == ["evt_1"]
    assert await retry_pending_hints(hand.services) == 0
    assert await waiting(shop) == ["evt_1"]
    assert await retry_pending_hints(hand.services) == 0, "not due again yet"
    await shop.conn.execute("update order_payment_collection set deleted_at = null where order_id = $1", order.id)
    await book_session(shop.conn, order, session, await shop.sandbox.intent(session.intent_id))
    await make_due(shop)

    assert await retry_pending_hints(hand.services) == 1

    assert await waiting(shop) == []
    assert (await hand.run(order, JobKind.LOOK))["state"] == "done"
    assert await shop.incidents(order) == ["late_money"]


@pytest.mark.parametrize(("age", "left"), [("23 hours 59 minutes", ["evt_1"]), ("24 hours 1 minute", [])])
async def test_after_a_day_it_is_dropped(hand: Hand, shop: Shop, age: str, left: list[str]) -> None:
    _, session = await _unlinked(shop)
    await take_hint(hand.services, hint(session))
    await make_due(shop, age)

    assert await retry_pending_hints(hand.services) == 0

    assert await waiting(shop) == left


async def test_its_pauses_grow_with_its_age(hand: Hand, shop: Shop) -> None:
    _, session = await _unlinked(shop)
    await take_hint(hand.services, hint(session))
    pauses = []
    for age in ("0", "5 minutes", "20 hours"):
        await make_due(shop, age)
        await retry_pending_hints(hand.services)
        pauses.append(
            await shop.conn.fetchval(
                "select round(extract(epoch from next_at - now()))::int from grace.pending_stripe_events"
            )
        )
    assert pauses == [5, 30, 600]


async def test_no_more_are_kept_than_there_is_room_for(hand: Hand, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stripe_events, "MAX_PENDING", 3)
    _, session = await _unlinked(shop)
    for number in range(1, 6):
        await take_hint(hand.services, hint(session, number))
    assert await waiting(shop) == ["evt_1", "evt_2", "evt_3"]


async def test_what_no_session_of_a_shop_made_is_not_kept(hand: Hand, shop: Shop) -> None:
    await take_hint(hand.services, Hint(id="evt_1", type="payment_intent.succeeded", intent_id="pi_1", session=""))
    assert await waiting(shop) == []


async def test_another_intent_under_the_name_of_a_session_is_not_the_sessions(hand: Hand, shop: Shop) -> None:
    order = await shop.place(payments=())
    session = await open_session(shop.conn, order, await waiting_for(shop, "requires_action"), amount=AMOUNT)
    await take_hint(
        hand.services, Hint(id="evt_1", type="payment_intent.succeeded", intent_id="pi_other", session=session.id)
    )
    assert await shop.job(order, JobKind.LOOK) is None
