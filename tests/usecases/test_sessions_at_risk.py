"""What a session holds or keeps counts as money at risk, as what a payment holds or keeps."""

from __future__ import annotations

from decimal import Decimal

import pytest

from app.domain.incidents import IncidentKind
from app.domain.jobs import JobKind
from app.embedded.shop import PlacedOrder
from app.embedded.shop_sessions import Session, book_session, open_session
from app.usecases.list_incidents import Listed, list_incidents, money_at_risk
from app.usecases.observe_fleet import observe_fleet
from tests.usecases.canned import answer_of, answering
from tests.usecases.hand import Hand
from tests.usecases.test_sessions import waiting_for
from tests.world import Shop

THIRTY = Decimal(30)


async def _canceled(hand: Hand, shop: Shop) -> tuple[PlacedOrder, Session]:
    order = await shop.place(payments=(), total=THIRTY)
    session = await open_session(shop.conn, order, await waiting_for(shop, "requires_action"), amount=THIRTY)
    await hand.cancel(order)
    return order, session


async def _gauge(hand: Hand) -> dict[tuple[str, str], Decimal]:
    return dict((await observe_fleet(hand.services)).money_at_risk)


async def _listed(hand: Hand) -> Listed:
    (one,) = await list_incidents(hand.services)
    return one


async def test_the_gauge_follows_a_session(hand: Hand, shop: Shop) -> None:
    assert await _gauge(hand) == {}
    order, session = await _canceled(hand, shop)
    assert await _gauge(hand) == {("eur", "held_on_canceled"): THIRTY}

    await answering(hand, void=answer_of(session.intent_id, "succeeded", 1000)).run(order, JobKind.VOID)
    assert await _gauge(hand) == {("eur", "kept_on_canceled"): Decimal(10)}

    hand = hand.refunding()
    paid, part, whole = (answer_of(session.intent_id, "succeeded", 1000, refunded=back) for back in (0, 400, 1000))
    await hand.schedule(order, JobKind.REFUND, [session.id])
    await answering(hand, look=paid, refund=part).run(order, JobKind.REFUND)
    assert await _gauge(hand) == {("eur", "kept_on_canceled"): Decimal(6)}
    subject = f"{session.id}:evt_1"
    await hand.schedule(order, JobKind.LOOK, [subject])
    await answering(hand, look=whole).run(order, JobKind.LOOK, subject)
    assert await _gauge(hand) == {}


async def test_a_voided_session_is_at_no_risk(hand: Hand, shop: Shop) -> None:
    order, _ = await _canceled(hand, shop)
    await hand.run(order, JobKind.VOID)
    assert await _gauge(hand) == {}


@pytest.mark.parametrize(("currency", "received", "kept"), [("jpy", 1000, "1000"), ("kwd", 1230, "1.23")])
async def test_sums_are_of_the_intents_currency(
    hand: Hand, shop: Shop, currency: str, received: int, kept: str
) -> None:
    order, session = await _canceled(hand, shop)
    seen = answer_of(session.intent_id, "succeeded", received, currency=currency)
    await answering(hand, void=seen).run(order, JobKind.VOID)
    assert await _gauge(hand) == {(currency, "kept_on_canceled"): Decimal(kept)}
    assert (await _listed(hand)).at_risk == 0, "sums of another currency are not added to the order's"


async def test_the_list_counts_what_a_session_keeps(hand: Hand, shop: Shop) -> None:
    order, session = await _canceled(hand, shop)
    await answering(hand, void=answer_of(session.intent_id, "succeeded", 1000)).run(order, JobKind.VOID)

    one = await _listed(hand)

    assert (one.incident.kind, one.incident.order_id) == (IncidentKind.LATE_MONEY, order.id)
    assert (one.at_risk, one.refundable) == (Decimal(10), Decimal(10))
    assert money_at_risk([one]) == {"eur": Decimal(10)}


async def test_the_list_counts_what_a_session_may_still_bring(hand: Hand, shop: Shop) -> None:
    order, session = await _canceled(hand, shop)
    contradictory = answer_of(session.intent_id, "succeeded", 0)
    for _ in range(3):
        await answering(hand, void=contradictory, look=contradictory).run(order, JobKind.VOID)

    one = await _listed(hand)

    assert (one.incident.kind, one.at_risk, one.refundable) == (IncidentKind.VOID_FAILED, THIRTY, Decimal(0))


async def test_a_payment_and_its_session_count_once(hand: Hand, shop: Shop) -> None:
    order, session = await _canceled(hand, shop)
    intent = await shop.sandbox.authenticate(session.intent_id)
    await book_session(shop.conn, order, session, intent, captured=True)
    await hand.run(order, JobKind.VOID)

    one = await _listed(hand)

    assert (one.at_risk, one.refundable) == (THIRTY, THIRTY)
    assert await _gauge(hand) == {("eur", "kept_on_canceled"): THIRTY}


async def test_a_hold_that_is_voided_by_its_sessions_job_counts(hand: Hand, shop: Shop) -> None:
    order = await shop.place(payments=(), total=THIRTY)
    intent = await waiting_for(shop, "requires_capture")
    session = await open_session(shop.conn, order, intent, amount=THIRTY)
    await hand.cancel(order)
    await book_session(shop.conn, order, session, intent)
    await shop.conn.execute("update payment set canceled_at = now()")
    assert await _gauge(hand) == {("eur", "held_on_canceled"): THIRTY}
