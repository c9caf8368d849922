"""Operators: a session that was paid late is refunded and looked at as a payment is."""

from __future__ import annotations

from app.domain.jobs import JobKind
from app.embedded.shop_sessions import book_session
from app.usecases.operator_acts import Acted, ActRequest
from app.usecases.refund_late_money import refund_late_money
from app.usecases.retry_incident import retry_incident
from tests.usecases.hand import Hand
from tests.usecases.test_sessions import MINOR, placed
from tests.world import Shop


async def _request(shop: Shop, order_id: str, token: str) -> ActRequest:
    incident_id = await shop.conn.fetchval(
        "select id from grace.incidents where order_id = $1 and kind = 'late_money' and closed_at is null", order_id
    )
    return ActRequest(incident_id=incident_id, actor="ada@shop.test", token=token)


async def test_the_refund_of_a_paid_session_is_one_refund(hand: Hand, shop: Shop) -> None:
    order, session = await placed(shop, "processing")
    await hand.cancel(order)
    await hand.run(order, JobKind.VOID)
    intent = await shop.sandbox.settle(session.intent_id)
    await hand.run(order, JobKind.VOID)

    assert await retry_incident(hand.services, await _request(shop, order.id, "look")) is Acted.DONE
    assert (await hand.run(order, JobKind.LOOK))["subject"].startswith(session.id)
    assert await refund_late_money(hand.services, await _request(shop, order.id, "one")) is Acted.DONE
    booked = await book_session(shop.conn, order, session, intent, captured=True)
    assert await refund_late_money(hand.services, await _request(shop, order.id, "two")) is Acted.BEFORE
    job = await hand.run(booked, JobKind.REFUND)

    assert (job["subject"], job["state"]) == (session.id, "done")
    line = (await shop.sandbox.ledger())[session.intent_id]
    assert (line.refunded, line.refunds) == (MINOR, 1)
    assert await shop.incidents(order) == []
    assert await shop.conn.fetchval("select count(*) from refund where payment_id = $1", booked.payment_ids[0]) == 1
