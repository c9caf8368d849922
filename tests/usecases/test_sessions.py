"""Payment sessions without a payment are money too: voided with their order, and refunded where they are paid late."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from app.domain.cancellation import PaymentAction, Refusal, Refused
from app.domain.jobs import JobKind, JobState, poll_delay
from app.embedded.shop import PlacedOrder
from app.embedded.shop_rows import now_ms
from app.embedded.shop_sessions import Session, book_session, open_session
from app.ports import LateMoney
from app.usecases.adopt_canceled import adopt_canceled
from app.usecases.cancel_order import Canceled
from app.usecases.heal_incidents import heal_incidents
from app.usecases.preview_cancel import Preview, preview_cancel
from app.usecases.recheck_canceled import recheck_canceled
from app.usecases.track_payments import start_tracking, track_payments, track_stragglers
from tests.usecases.hand import Hand
from tests.world import Shop

AMOUNT, MINOR = Decimal("29.7381"), 2974
BY_BANK = "automatic"


async def upkeep(hand: Hand) -> None:
    """All that a worker looks for now and then."""
    await track_payments(hand.services)
    await track_stragglers(hand.services)
    await adopt_canceled(hand.services)
    await recheck_canceled(hand.services)
    await heal_incidents(hand.services)


async def work(hand: Hand, order: PlacedOrder, *kinds: JobKind, at_most: int = 9) -> None:
    """Run the order's jobs of these kinds as long as one of them is due."""
    for _ in range(at_most):
        due = await hand.shop.conn.fetch(
            "select kind, subject from grace.jobs where order_id = $1 and state = 'scheduled' and kind = any($2) "
            "and run_at <= now() order by id",
            order.id,
            [kind.value for kind in kinds],
        )
        for row in due:
            await hand.run(order, JobKind(row["kind"]), row["subject"])
        if not due:
            return


async def waiting_for(shop: Shop, status: str, *, capture_method: str = BY_BANK, **options: Any) -> dict[str, Any]:
    """An intent at the sandbox in this status."""
    card = "pm_card_visa" if status == "requires_capture" else "pm_card_authenticationRequired"
    method = "manual" if status == "requires_capture" else capture_method
    intent = await shop.sandbox.authorize(MINOR, "eur", method, payment_method=card, **options)
    if status == "processing":
        intent = await shop.sandbox.process(intent["id"])
    if status == "requires_payment_method":
        intent = await shop.sandbox.authenticate(intent["id"], passed=False)
    assert intent["status"] == status
    return intent


async def placed(shop: Shop, intent_status: str, **options: Any) -> tuple[PlacedOrder, Session]:
    """An order with a session in this status, and no payment."""
    order = await shop.place(payments=())
    return order, await open_session(shop.conn, order, await waiting_for(shop, intent_status), amount=AMOUNT, **options)


async def status_of(shop: Shop, session: Session) -> str:
    return str((await shop.sandbox.intent(session.intent_id))["status"])


async def row_of(shop: Shop, session: Session) -> dict[str, Any]:
    query = "select status, data ->> 'status' as intent, metadata ->> 'grace_refunded' as refunded from payment_session"
    return dict(await shop.row(f"{query} where id = $1", session.id))


@pytest.mark.parametrize("status", ["requires_action", "requires_payment_method", "requires_capture"])
@pytest.mark.parametrize("row_status", ["pending", "requires_more", "pending_authorization", "error", "authorized"])
async def test_a_cancel_voids_a_session_that_can_still_be_paid(
    hand: Hand, shop: Shop, status: str, row_status: str
) -> None:
    order, session = await placed(shop, status, status=row_status)

    seen = await hand.services.orders.read_order(shop.conn, order.id)
    assert seen is not None
    preview = await preview_cancel(hand.services, seen)
    outcome = await hand.cancel(order)
    job = await hand.run(order, JobKind.VOID)

    assert isinstance(preview, Preview)
    assert (preview.cancelable, preview.payment_action) == (True, PaymentAction.VOID_PENDING)
    assert outcome == Canceled(order_id=order.id, payment_action=PaymentAction.VOID_PENDING, already=False)
    assert (job["subject"], job["state"]) == (session.id, "done")
    assert await status_of(shop, session) == "canceled"
    assert await row_of(shop, session) == {"status": "canceled", "intent": "canceled", "refunded": None}
    assert await hand.payment_action(order) is PaymentAction.VOIDED
    assert await shop.incidents(order, open_only=False) == []


async def test_a_hold_and_a_session_are_both_voided(hand: Hand, shop: Shop) -> None:
    order = await shop.place()
    session = await open_session(shop.conn, order, await waiting_for(shop, "requires_action"), amount=AMOUNT)

    await hand.cancel(order)
    await hand.run(order, JobKind.VOID, order.payment_ids[0])
    assert await hand.payment_action(order) is PaymentAction.VOID_PENDING
    await hand.run(order, JobKind.VOID, session.id)

    assert await hand.payment_action(order) is PaymentAction.VOIDED
    assert await status_of(shop, session) == "canceled"


async def test_one_that_was_paid_is_captured_money(hand: Hand, shop: Shop) -> None:
    order = await shop.place(payments=())
    paid = await shop.sandbox.authorize(MINOR, "eur", capture_method="automatic")
    await open_session(shop.conn, order, paid, amount=AMOUNT)
    assert await hand.cancel(order) == Refused(Refusal.CAPTURED)


async def test_what_a_bank_processes_is_retrieved_until_it_can_be_canceled(hand: Hand, shop: Shop) -> None:
    order, session = await placed(shop, "processing")
    await hand.cancel(order)

    for attempt in range(1, 5):
        job = await hand.run(order, JobKind.VOID)
        pause = job["run_at"] - job["updated_at"]
        assert (job["state"], job["failures"]) == ("scheduled", 0)
        assert pause == poll_delay(attempt)
    assert await shop.incidents(order, open_only=False) == []
    assert await hand.payment_action(order) is PaymentAction.VOID_PENDING
    await shop.sandbox.settle(session.intent_id, paid=False)
    job = await hand.run(order, JobKind.VOID)

    assert (job["state"], job["attempts"]) == ("done", 5)
    assert await status_of(shop, session) == "canceled"
    assert await hand.payment_action(order) is PaymentAction.VOIDED


def test_the_pauses_grow_from_seconds_to_an_hour() -> None:
    pauses = [poll_delay(attempt) for attempt in range(1, 30)]
    assert pauses == sorted(pauses)
    assert pauses[0] == timedelta(seconds=2)
    assert pauses[-1] == timedelta(hours=1)


@pytest.mark.parametrize("policy", LateMoney)
async def test_what_was_paid_late_is_late_money(hand: Hand, shop: Shop, policy: LateMoney) -> None:
    hand = hand.with_policy(late_money=policy)
    order, session = await placed(shop, "processing")
    await hand.cancel(order)
    await hand.run(order, JobKind.VOID)
    await shop.sandbox.settle(session.intent_id)

    job = await hand.run(order, JobKind.VOID)
    assert (job["state"], job["last_error"]) == ("done", "paid before it could be canceled")
    assert await shop.incidents(order) == ["late_money"]
    assert await hand.payment_action(order) is PaymentAction.VOID_FAILED
    await work(hand, order, JobKind.REFUND)
    await upkeep(hand)

    refunds = (await shop.sandbox.ledger())[session.intent_id].refunds
    if policy is LateMoney.ALERT:
        assert refunds == 0
        assert await shop.incidents(order) == ["late_money"]
    else:
        assert refunds == 1
        assert await shop.incidents(order) == []
        assert (await row_of(shop, session))["refunded"] == "29.7381"
        assert await hand.payment_action(order) is PaymentAction.NONE


@pytest.mark.parametrize("when", ["before the void", "before the refund", "weeks later"])
@pytest.mark.parametrize("captured", [True, False], ids=["captured", "held first"])
async def test_a_payment_that_is_made_of_a_paid_session_is_refunded_once(
    hand: Hand, shop: Shop, when: str, captured: bool
) -> None:
    """Medusa makes the payment when its webhook comes, in the same commit or ahead of its capture."""
    hand = hand.refunding()
    await start_tracking(hand.services, now_ms())
    order, session = await placed(shop, "processing")
    await hand.cancel(order)
    await hand.run(order, JobKind.VOID)
    intent = await shop.sandbox.settle(session.intent_id)

    async def book() -> PlacedOrder:
        return await book_session(shop.conn, order, session, intent, captured=captured)

    if when == "before the void":
        order = await book()
    await hand.run(order, JobKind.VOID, session.id)
    if when == "before the refund":
        order = await book()
    await work(hand, order, JobKind.VOID, JobKind.REFUND)
    if when == "weeks later":
        await shop.conn.execute("update grace.cancellations set canceled_at = canceled_at - interval '20 days'")
        order = await book()
    for _ in range(3):
        await upkeep(hand)
        await work(hand, order, JobKind.VOID, JobKind.REFUND)

    line = (await shop.sandbox.ledger())[session.intent_id]
    assert (line.captured, line.refunded, line.refunds, line.voids) == (MINOR, MINOR, 1, 0)
    payment = await shop.row("select * from payment where payment_session_id = $1", session.id)
    assert payment["captured_at"] is not None
    refunded = await shop.conn.fetchval("select sum(amount) from refund where payment_id = $1", payment["id"])
    assert refunded == AMOUNT
    assert await shop.incidents(order) == []
    assert await hand.payment_action(order) is PaymentAction.NONE
    assert [
        job["kind"]
        for job in await shop.conn.fetch(
            "select kind from grace.jobs where order_id = $1 and kind in ('void', 'refund') and state <> 'done'",
            order.id,
        )
    ] == []


@pytest.mark.parametrize("when", ["before the void", "during the void", "after the void"])
async def test_a_held_payment_that_is_made_of_a_session_is_voided_once(hand: Hand, shop: Shop, when: str) -> None:
    await start_tracking(hand.services, now_ms())
    order, session = await placed(shop, "requires_capture")
    booked = [order]

    async def book() -> None:
        intent = await shop.sandbox.intent(session.intent_id)
        booked[0] = await book_session(shop.conn, order, session, {**intent, "status": "requires_capture"})

    await hand.cancel(order)
    if when == "before the void":
        await book()
    running = hand.before("void.record", book) if when == "during the void" else hand
    await running.run(order, JobKind.VOID, session.id)
    if when == "after the void":
        await book()
    for _ in range(3):
        await upkeep(hand)
        await work(hand, booked[0], JobKind.VOID)

    assert (await shop.sandbox.ledger())[session.intent_id].voids == 1
    assert len(await shop.sandbox.requests("payment_intents.cancel")) == 1
    payment = await shop.payment(booked[0])
    assert payment["canceled_at"] is not None
    assert '"canceled"' in payment["data"]
    assert await hand.payment_action(order) is PaymentAction.VOIDED
    assert await shop.incidents(order, open_only=False) == []
    states = await hand.jobs(booked[0])
    assert states["void", session.id] == "done"
    assert ("void", booked[0].payment_ids[0]) not in states


async def test_a_session_that_becomes_a_payment_between_look_and_write_is_seen(hand: Hand, shop: Shop) -> None:
    order, session = await placed(shop, "requires_capture")
    intent = await shop.sandbox.intent(session.intent_id)

    outcome = await hand.before("cancel", lambda: book_session(shop.conn, order, session, intent)).cancel(order)

    assert isinstance(outcome, Canceled)
    payment_id = await shop.conn.fetchval("select id from payment where payment_session_id = $1", session.id)
    assert ("void", payment_id) in await hand.jobs(order)
    assert ("void", session.id) not in await hand.jobs(order)


@pytest.mark.parametrize(
    "change",
    [
        "update payment_session set data = jsonb_set(data, '{status}', '\"succeeded\"') where id = $1",
        "update payment_session set deleted_at = now() where id = $1",
        "update payment_session set amount = amount + 1 where id = $1",
        "update payment_session set provider_id = 'pp_system_default' where id = $1",
        'update payment_session set metadata = \'{"grace_refunded": "1"}\' where id = $1',
    ],
)
async def test_every_fact_of_a_session_is_in_the_mark(hand: Hand, shop: Shop, change: str) -> None:
    order, session = await placed(shop, "processing")
    before = await hand.services.orders.read_order(shop.conn, order.id)
    await shop.conn.execute(change, session.id)
    after = await hand.services.orders.read_order(shop.conn, order.id)
    assert before is not None
    assert after is not None
    assert before.mark != after.mark


async def test_a_session_of_another_gateway_is_left_to_it(hand: Hand, shop: Shop) -> None:
    order, _ = await placed(shop, "processing", provider_id="pp_paypal_main")
    outcome = await hand.cancel(order)
    assert isinstance(outcome, Canceled)
    assert outcome.payment_action is PaymentAction.NONE


async def test_a_session_that_the_shop_deletes_is_not_lost_sight_of(hand: Hand, shop: Shop) -> None:
    order, session = await placed(shop, "requires_action")
    await hand.cancel(order)
    await shop.sandbox.fault("payment_intents.cancel", "error_saved", status=500)

    async def delete() -> None:
        await shop.conn.execute("delete from payment_session where id = $1", session.id)

    job = await hand.before("void.record", delete).run(order, JobKind.VOID)

    assert job["state"] == "scheduled"
    assert await shop.incidents(order) == ["void_failed"]


async def test_an_unanswered_void_is_retrieved_before_it_is_tried_again(hand: Hand, shop: Shop) -> None:
    order, session = await placed(shop, "requires_action")
    await hand.cancel(order)
    await shop.sandbox.fault("payment_intents.cancel", "drop_after")

    assert (await hand.run(order, JobKind.VOID))["in_doubt"]
    job = await hand.run(order, JobKind.VOID)

    assert job["state"] == JobState.DONE
    assert (await shop.sandbox.ledger())[session.intent_id].voids == 1
    assert len(await shop.sandbox.requests("payment_intents.cancel")) == 1


async def test_an_intent_that_a_payment_names_is_no_session_any_more(hand: Hand, shop: Shop) -> None:
    """Whatever session the payment says that it came from."""
    order = await shop.place()
    await shop.conn.execute(
        "update payment set payment_session_id = 'payses_other' where id = $1", order.payment_ids[0]
    )
    await hand.cancel(order)
    assert {subject for kind, subject in await hand.jobs(order) if kind == "void"} == {order.payment_ids[0]}
