"""An order with a hold and a payment session beside it is charged what it owes, once, by whatever path it is paid."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest

from app.domain.jobs import PROCESSING_TRIES, JobKind
from app.embedded.shop import PlacedOrder
from app.embedded.shop_rows import now_ms
from app.embedded.shop_sessions import Session, book_session, open_session
from app.embedded.stripe_sandbox.client import Sandbox
from app.usecases.heal_incidents import heal_incidents
from app.usecases.track_payments import start_tracking, track_payments
from tests.usecases.canned import answer_of, answering
from tests.usecases.hand import Hand, opened
from tests.usecases.test_sessions import AMOUNT, MINOR, upkeep, waiting_for, work
from tests.world import Shop, settings_for


@pytest.fixture
async def due(hand: Hand, shop: Shop) -> PlacedOrder:
    """An order of 29.7381 EUR with one hold of it, whose capture is due."""
    await start_tracking(hand.services, now_ms())
    order = await shop.place()
    await track_payments(hand.services)
    return order


async def _session(shop: Shop, order: PlacedOrder, intent: dict[str, Any], **options: Any) -> Session:
    return await open_session(shop.conn, order, intent, **{"amount": AMOUNT, **options})


async def _paid(shop: Shop, order: PlacedOrder, minor: int = MINOR, **options: Any) -> Session:
    """A session whose row says that it is paid."""
    intent = await shop.sandbox.authorize(minor, options.pop("currency", "eur"), capture_method="automatic")
    assert intent["status"] == "succeeded"
    return await _session(shop, order, intent, **options)


async def _capture(hand: Hand, order: PlacedOrder) -> str:
    return str((await hand.run(order, JobKind.CAPTURE))["state"])


async def _charged(shop: Shop, order: PlacedOrder, *sessions: Session) -> int:
    """What Stripe keeps of the order's holds and sessions, in cents."""
    ledger = await shop.sandbox.ledger()
    lines = [ledger[intent] for intent in (*order.intent_ids, *(one.intent_id for one in sessions))]
    return sum(line.captured - line.refunded for line in lines)


async def _is_released(hand: Hand, shop: Shop, order: PlacedOrder) -> bool:
    await work(hand, order, JobKind.VOID)
    return (await shop.sandbox.ledger())[order.intent_ids[0]].status == "canceled"


@pytest.mark.parametrize("booked", [False, True], ids=["session alone", "payment made before the void"])
async def test_a_hold_beside_a_paid_session_is_voided(
    hand: Hand, shop: Shop, due: PlacedOrder, *, booked: bool
) -> None:
    session = await _paid(shop, due)

    assert await _capture(hand, due) == "removed"
    if booked:
        intent = await shop.sandbox.intent(session.intent_id)
        await book_session(shop.conn, due, session, intent, captured=True)
    assert await _is_released(hand, shop, due)
    await upkeep(hand)

    assert await _charged(shop, due, session) == MINOR
    assert await shop.incidents(due, open_only=False) == []


async def test_a_session_whose_row_is_older_than_its_money_is_retrieved(
    hand: Hand, shop: Shop, due: PlacedOrder
) -> None:
    session = await _session(shop, due, await waiting_for(shop, "requires_action"))
    await shop.sandbox.authenticate(session.intent_id)

    assert await _capture(hand, due) == "removed"

    assert await _is_released(hand, shop, due)
    assert await _charged(shop, due, session) == MINOR


@pytest.mark.parametrize("status", ["succeeded", "canceled"])
async def test_what_a_session_brought_in_part_is_subtracted(
    hand: Hand, shop: Shop, due: PlacedOrder, status: str
) -> None:
    session = await _session(shop, due, await waiting_for(shop, "requires_action"))
    seen = answer_of(session.intent_id, status, 1000, amount=MINOR)

    job = await answering(hand, look=seen).run(due, JobKind.CAPTURE)

    assert job["state"] == "done"
    assert (await shop.sandbox.ledger())[due.intent_ids[0]].captured == MINOR - 1000
    taken = await shop.conn.fetchval("select sum(amount) from capture where payment_id = $1", due.payment_ids[0])
    assert taken == AMOUNT - 10
    assert await shop.incidents(due, open_only=False) == []


async def test_a_session_that_was_refunded_in_the_dashboard_pays_for_nothing(
    hand: Hand, shop: Shop, due: PlacedOrder
) -> None:
    session = await _paid(shop, due)
    seen = answer_of(session.intent_id, "succeeded", MINOR, amount=MINOR, refunded=MINOR)

    job = await answering(hand, look=seen).run(due, JobKind.CAPTURE)

    assert job["state"] == "done"
    assert (await shop.sandbox.ledger())[due.intent_ids[0]].captured == MINOR


@pytest.mark.parametrize("status", ["requires_action", "requires_payment_method", "requires_capture"])
async def test_a_session_that_waits_for_the_shopper_delays_nothing(
    hand: Hand, shop: Shop, due: PlacedOrder, status: str
) -> None:
    session = await _session(shop, due, await waiting_for(shop, status))
    assert await _capture(hand, due) == "done"
    assert await _charged(shop, due, session) == MINOR


@pytest.mark.parametrize("paid", [True, False])
@pytest.mark.parametrize("told", [True, False], ids=["by the row", "by Stripe"])
async def test_while_a_bank_decides_the_hold_is_kept(
    hand: Hand, shop: Shop, due: PlacedOrder, *, paid: bool, told: bool
) -> None:
    intent = await waiting_for(shop, "processing")
    session = await _session(shop, due, intent if told else {**intent, "status": "requires_payment_method"})

    for _ in range(4):
        assert await _capture(hand, due) == "scheduled"
    assert await shop.calls(due, "capture") == []
    assert await shop.incidents(due, open_only=False) == []
    await shop.sandbox.settle(session.intent_id, paid=paid)

    assert await _capture(hand, due) == ("removed" if paid else "done")
    assert await _is_released(hand, shop, due) is paid
    assert await _charged(shop, due, session) == MINOR


async def test_a_bank_that_decides_for_too_long_is_named(hand: Hand, shop: Shop, due: PlacedOrder) -> None:
    session = await _session(shop, due, await waiting_for(shop, "processing"))
    await shop.conn.execute("update grace.jobs set attempts = $1 where kind = 'capture'", PROCESSING_TRIES)

    assert await _capture(hand, due) == "scheduled"
    assert await shop.incidents(due) == ["capture_failed"]
    assert await shop.calls(due, "capture") == []
    await shop.sandbox.settle(session.intent_id)
    assert await _capture(hand, due) == "removed"

    assert await _is_released(hand, shop, due)
    assert await shop.incidents(due) == []


async def test_a_session_that_cannot_be_retrieved_keeps_the_hold(hand: Hand, shop: Shop, due: PlacedOrder) -> None:
    session = await _paid(shop, due)
    for _ in range(3):
        await shop.sandbox.fault("payment_intents.retrieve", "error", status=500)
        assert await _capture(hand, due) == "scheduled"

    assert await shop.incidents(due) == ["capture_failed"]
    assert await shop.calls(due, "capture") == []
    assert await _capture(hand, due) == "removed"
    assert await shop.incidents(due) == []
    assert await _charged(shop, due, session) == MINOR


@pytest.mark.parametrize("unclear", ["another currency", "no total"])
async def test_what_cannot_be_compared_is_decided_by_a_person(
    hand: Hand, shop: Shop, due: PlacedOrder, unclear: str
) -> None:
    if unclear == "no total":
        await shop.conn.execute("delete from order_summary where order_id = $1", due.id)
        session = await _paid(shop, due)
    else:
        session = await _paid(shop, due, 3000, currency="usd")

    for _ in range(2):
        assert await _capture(hand, due) == "scheduled"
        await heal_incidents(hand.services)
    assert await shop.incidents(due) == ["capture_failed"]
    detail = await shop.conn.fetchval("select detail from grace.incidents where order_id = $1", due.id)
    assert session.id in detail
    assert ("30.00 USD" if unclear == "another currency" else "29.74 EUR") in detail
    assert await shop.calls(due, "capture") == []
    kept = (await shop.sandbox.ledger())[session.intent_id].captured
    await hand.services.gateway.refund(session.intent_id, amount=kept, key="by-hand")

    assert await _capture(hand, due) == "done"
    assert await shop.incidents(due) == []
    assert (await shop.sandbox.ledger())[due.intent_ids[0]].captured == MINOR


async def test_a_hold_that_is_owed_beside_the_session_is_taken_without_a_look(hand: Hand, shop: Shop) -> None:
    await start_tracking(hand.services, now_ms())
    order = await shop.place(total=AMOUNT * 2)
    await track_payments(hand.services)
    session = await _session(shop, order, await waiting_for(shop, "processing"))

    assert await _capture(hand, order) == "done"

    asked = await shop.sandbox.requests("payment_intents.retrieve")
    assert session.intent_id not in {request["object_id"] for request in asked}
    assert await _charged(shop, order, session) == MINOR


@pytest.mark.parametrize(("currency", "whole", "part", "rest"), [("jpy", "3000", 1000, 2000), ("kwd", "5", 2000, 3000)])
async def test_sums_of_currencies_without_cents(
    hand: Hand, shop: Shop, currency: str, whole: str, part: int, rest: int
) -> None:
    await start_tracking(hand.services, now_ms())
    order = await shop.place(amounts=(whole,), currency=currency)
    await track_payments(hand.services)
    session = await _paid(shop, order, part, currency=currency, amount=Decimal(whole))

    assert await _capture(hand, order) == "done"

    assert (await shop.sandbox.ledger())[order.intent_ids[0]].captured == rest
    assert await _charged(shop, order, session) == part + rest


async def test_of_two_holds_only_what_the_session_left_is_taken(hand: Hand, shop: Shop) -> None:
    await start_tracking(hand.services, now_ms())
    order = await shop.place(amounts=("30", "20"))
    await track_payments(hand.services)
    session = await _paid(shop, order, 3500, amount=Decimal(35))

    for payment_id in order.payment_ids:
        await hand.run(order, JobKind.CAPTURE, payment_id)
    await work(hand, order, JobKind.VOID)

    assert await _charged(shop, order, session) == 5000
    assert await shop.incidents(order, open_only=False) == []


async def test_a_session_that_is_opened_while_the_first_is_retrieved(hand: Hand, shop: Shop, due: PlacedOrder) -> None:
    first = await _session(shop, due, await waiting_for(shop, "requires_action"))
    later: list[Session] = []

    async def pay() -> None:
        later.append(await _paid(shop, due))

    assert await _capture(hand.before("capture.sessions", pay), due) == "scheduled"
    assert await _capture(hand, due) == "removed"
    assert await _charged(shop, due, first, *later) == MINOR


async def test_canceled_while_its_session_is_retrieved(hand: Hand, shop: Shop, due: PlacedOrder) -> None:
    session = await _session(shop, due, await waiting_for(shop, "requires_action"))

    async def cancel() -> None:
        await shop.conn.execute("update \"order\" set status = 'canceled', canceled_at = now() where id = $1", due.id)

    assert await _capture(hand.before("capture.sessions", cancel), due) == "removed"
    await work(hand, due, JobKind.VOID)
    assert await _charged(shop, due, session) == 0
    assert (await shop.sandbox.intent(session.intent_id))["status"] == "canceled"


async def test_the_lease_begins_again_with_the_capture(hand: Hand, shop: Shop, due: PlacedOrder) -> None:
    """Two rounds of calls to Stripe fit into one attempt: no other worker takes the job meanwhile."""
    await _session(shop, due, await waiting_for(shop, "requires_action"))
    leases: list[Any] = []

    async def age() -> None:
        await shop.conn.execute(
            "update grace.jobs set lease_until = now() + interval '1 second' where kind = 'capture'"
        )

    async def note() -> None:
        leases.append(await shop.conn.fetchval("select lease_until - now() from grace.jobs where kind = 'capture'"))

    assert await _capture(hand.before("capture.sessions", age).before("capture.record", note), due) == "done"
    assert leases[0].total_seconds() > 15


@pytest.fixture
async def us(shop: Shop, database: str, redis_url: str, sandbox: Sandbox) -> AsyncIterator[Hand]:
    """A sidecar whose key is that of the account ``us``."""
    settings = settings_for(database, redis_url, sandbox, STRIPE_PROVIDERS="pp_stripe_stripe", VOID_WAIT_SECONDS="0")
    async with opened(settings) as services:
        await start_tracking(services, now_ms())
        yield Hand(services, shop)


async def test_a_session_of_an_account_that_is_not_served_counts_by_its_row(us: Hand, shop: Shop) -> None:
    order = await shop.place()
    await track_payments(us.services)
    waiting = await _session(shop, order, await waiting_for(shop, "processing"), provider_id="pp_stripe_eu")
    assert await _capture(us, order) == "scheduled"
    await shop.conn.execute(
        "update payment_session set data = data || jsonb_build_object('status', 'succeeded', "
        "'amount_received', $2::int) "
        "where id = $1",
        waiting.id,
        MINOR,
    )
    assert await _capture(us, order) == "removed"
    assert await _is_released(us, shop, order)
    asked = await shop.sandbox.requests("payment_intents.retrieve")
    assert waiting.intent_id not in {request["object_id"] for request in asked}
