"""A session's money is judged by its sums, as a payment's is: what Stripe received less what it refunded."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from app.domain.cancellation import PaymentAction, Refusal, Refused
from app.domain.jobs import JobKind
from app.embedded.shop import PlacedOrder
from app.embedded.shop_rows import now_ms
from app.embedded.shop_sessions import Session, open_session
from app.ports import Answered, Hint, LateMoney
from app.usecases.cancel_order import Canceled
from app.usecases.take_hint import retry_pending_hints, take_hint
from app.usecases.track_payments import start_tracking
from tests.usecases.canned import answer_of, answering
from tests.usecases.hand import Hand
from tests.usecases.test_sessions import row_of, upkeep, waiting_for
from tests.world import Shop

AMOUNT = Decimal(30)
RECEIVED = {
    "canceled after a part": ("canceled", 1000),
    "canceled after all": ("canceled", 3000),
    "paid": ("succeeded", 3000),
    "paid in part": ("succeeded", 1000),
    "still processed": ("processing", 1000),
}
EVERY = pytest.mark.parametrize(("status", "received"), RECEIVED.values(), ids=RECEIVED.keys())


async def _placed(shop: Shop, **options: Any) -> tuple[PlacedOrder, Session]:
    """An order of 30.00 EUR with a session that waits for the shopper, and no payment."""
    order = await shop.place(payments=(), total=AMOUNT)
    return order, await open_session(
        shop.conn, order, await waiting_for(shop, "requires_action"), amount=AMOUNT, **options
    )


async def _canceled(hand: Hand, shop: Shop, **options: Any) -> tuple[PlacedOrder, Session]:
    await start_tracking(hand.services, now_ms())
    order, session = await _placed(shop, **options)
    assert isinstance(await hand.cancel(order), Canceled)
    return order, session


async def _medusa_writes(shop: Shop, session: Session, answer: Answered) -> None:
    """Medusa keeps Stripe's answer in the session and makes no payment."""
    await shop.conn.execute(
        "update payment_session set data = $2::text::jsonb where id = $1", session.id, json.dumps(answer.intent.raw)
    )


async def _look(hand: Hand, order: PlacedOrder, session: Session, event: str, seen: Answered) -> None:
    subject = f"{session.id}:{event}"
    await hand.schedule(order, JobKind.LOOK, [subject])
    await answering(hand, look=seen).run(order, JobKind.LOOK, subject)


async def _detail(shop: Shop, order: PlacedOrder) -> str:
    row = await shop.row("select detail from grace.incidents where order_id = $1 and closed_at is null", order.id)
    return str(row["detail"])


@EVERY
@pytest.mark.parametrize("attempts", [0, 1], ids=["first attempt", "retry"])
async def test_a_void_that_finds_money_is_late_money_until_it_is_refunded(
    hand: Hand, shop: Shop, status: str, received: int, attempts: int
) -> None:
    order, session = await _canceled(hand, shop)
    await shop.conn.execute("update grace.jobs set attempts = $1 where kind = 'void'", attempts)
    seen = answer_of(session.intent_id, status, received)

    void = await answering(hand, void=seen, look=seen).run(order, JobKind.VOID)
    for _ in range(2):
        await upkeep(hand)

    assert void["state"] == "done"
    assert await shop.incidents(order) == ["late_money"]
    assert await hand.payment_action(order) is PaymentAction.VOID_FAILED


@EVERY
async def test_what_was_received_is_refunded_once_and_settled(
    hand: Hand, shop: Shop, status: str, received: int
) -> None:
    hand = hand.refunding()
    order, session = await _canceled(hand, shop)
    seen = answer_of(session.intent_id, status, received)
    refunded = answer_of(session.intent_id, status, received, refunded=received)

    await answering(hand, void=seen).run(order, JobKind.VOID)
    refund = await answering(hand, look=seen, refund=refunded).run(order, JobKind.REFUND)
    for _ in range(2):
        await upkeep(hand)

    assert refund["state"] == "done"
    assert await shop.incidents(order) == []
    assert Decimal((await row_of(shop, session))["refunded"]) == Decimal(received) / 100
    assert await hand.payment_action(order) is PaymentAction.NONE
    assert (await hand.job(order, JobKind.REFUND))["state"] == "done"


@EVERY
@pytest.mark.parametrize("policy", LateMoney)
async def test_money_that_only_the_row_tells_of_is_found(
    hand: Hand, shop: Shop, status: str, received: int, policy: LateMoney
) -> None:
    """Medusa wrote what Stripe answered, weeks after the cancel, and nothing announced it."""
    hand = hand.with_policy(late_money=policy)
    order, session = await _canceled(hand, shop)
    await hand.run(order, JobKind.VOID)
    await shop.conn.execute("update grace.cancellations set canceled_at = canceled_at - interval '20 days'")
    await _medusa_writes(shop, session, answer_of(session.intent_id, status, received))

    await upkeep(hand)

    assert await shop.incidents(order) == ["late_money"]
    refunds = [job for job in await hand.jobs(order) if job[0] == "refund"]
    assert refunds == ([("refund", session.id)] if policy is LateMoney.REFUND else [])


async def test_a_void_of_nothing_received_is_a_void(hand: Hand, shop: Shop) -> None:
    order, session = await _canceled(hand, shop)
    await answering(hand, void=answer_of(session.intent_id, "canceled")).run(order, JobKind.VOID)
    await upkeep(hand)
    assert await hand.payment_action(order) is PaymentAction.VOIDED
    assert await shop.incidents(order, open_only=False) == []


async def test_a_state_that_its_sums_contradict_is_no_money(hand: Hand, shop: Shop) -> None:
    order, session = await _canceled(hand, shop)
    empty = answer_of(session.intent_id, "succeeded", 0)
    for _ in range(3):
        job = await answering(hand, void=empty, look=empty).run(order, JobKind.VOID)
    assert job["state"] == "scheduled"
    assert await shop.incidents(order) == ["void_failed"]


async def test_a_rest_that_is_still_held_is_voided_and_the_part_refunded(hand: Hand, shop: Shop) -> None:
    order, session = await _canceled(hand, shop)
    await shop.conn.execute("update grace.jobs set attempts = 1 where kind = 'void'")
    part = answer_of(session.intent_id, "requires_capture", 1000, amount_capturable=2000)

    await answering(hand, look=part, void=answer_of(session.intent_id, "canceled", 1000)).run(order, JobKind.VOID)
    await upkeep(hand)

    assert await shop.incidents(order) == ["late_money"]


async def test_refunds_in_the_dashboard_count(hand: Hand, shop: Shop) -> None:
    order, session = await _canceled(hand, shop)
    await answering(hand, void=answer_of(session.intent_id, "succeeded", 3000)).run(order, JobKind.VOID)

    await _look(hand, order, session, "evt_1", answer_of(session.intent_id, "succeeded", 3000, refunded=1000))
    await upkeep(hand)
    assert await shop.incidents(order) == ["late_money"]
    await _look(hand, order, session, "evt_2", answer_of(session.intent_id, "succeeded", 3000, refunded=3000))
    assert await shop.incidents(order) == []


async def test_a_refund_that_failed_afterwards_is_late_money_again(hand: Hand, shop: Shop) -> None:
    hand = hand.refunding()
    order, session = await _canceled(hand, shop)
    paid = answer_of(session.intent_id, "succeeded", 3000)
    refunded = answer_of(session.intent_id, "succeeded", 3000, refunded=3000)
    await answering(hand, void=paid).run(order, JobKind.VOID)
    await answering(hand, look=paid, refund=refunded).run(order, JobKind.REFUND)
    assert await shop.incidents(order) == []

    await _look(hand, order, session, "evt_1", answer_of(session.intent_id, "succeeded", 3000, refunded=0))

    assert await shop.incidents(order) == ["late_money"]
    refund = await answering(hand, look=paid, refund=refunded).run(order, JobKind.REFUND)
    assert (refund["state"], refund["key_number"]) == ("done", 2)
    assert await shop.incidents(order) == []


@pytest.mark.parametrize("policy", LateMoney)
async def test_money_of_another_currency_is_named(hand: Hand, shop: Shop, policy: LateMoney) -> None:
    hand = hand.with_policy(late_money=policy)
    order, session = await _canceled(hand, shop)
    paid = answer_of(session.intent_id, "succeeded", 3000, currency="jpy")
    refunded = answer_of(session.intent_id, "succeeded", 3000, currency="jpy", refunded=3000)

    await answering(hand, void=paid).run(order, JobKind.VOID)
    await upkeep(hand)

    assert await shop.incidents(order) == ["late_money"]
    assert "3000 JPY" in await _detail(shop, order)
    if policy is LateMoney.REFUND:
        await answering(hand, look=paid, refund=refunded).run(order, JobKind.REFUND)
        await upkeep(hand)
        assert await shop.incidents(order) == []


async def test_two_sessions_of_one_collection_are_judged_each_by_itself(hand: Hand, shop: Shop) -> None:
    order, first = await _placed(shop)
    await _medusa_writes(shop, first, answer_of(first.intent_id, "canceled"))
    second = await open_session(
        shop.conn,
        order,
        await waiting_for(shop, "requires_action"),
        amount=AMOUNT,
        collection_id=first.collection_id,
    )
    await start_tracking(hand.services, now_ms())

    assert isinstance(await hand.cancel(order), Canceled)
    assert {subject for kind, subject in await hand.jobs(order) if kind == "void"} == {second.id}
    await answering(hand, void=answer_of(second.intent_id, "canceled")).run(order, JobKind.VOID)
    assert await hand.payment_action(order) is PaymentAction.VOIDED

    await _medusa_writes(shop, first, answer_of(first.intent_id, "canceled", 1000))
    await upkeep(hand)
    assert await shop.incidents(order) == ["late_money"]
    assert first.id in await _detail(shop, order)


@EVERY
async def test_a_cancel_of_an_order_that_a_session_has_paid_is_refused(
    hand: Hand, shop: Shop, status: str, received: int
) -> None:
    order, session = await _placed(shop)
    await _medusa_writes(shop, session, answer_of(session.intent_id, status, received))
    assert await hand.cancel(order) == Refused(Refusal.CAPTURED)


async def test_a_session_that_is_captured_in_part_is_partly_captured_money(hand: Hand, shop: Shop) -> None:
    order, session = await _placed(shop)
    part = answer_of(session.intent_id, "requires_capture", 1000, amount_capturable=2000)
    await _medusa_writes(shop, session, part)
    assert await hand.cancel(order) == Refused(Refusal.PARTIAL_CAPTURE)


@pytest.mark.parametrize("kind", [JobKind.VOID, JobKind.REFUND])
async def test_jobs_of_a_session_end_where_the_order_was_opened_again(hand: Hand, shop: Shop, kind: JobKind) -> None:
    order, session = await _canceled(hand, shop)
    if kind is JobKind.REFUND:
        await answering(hand.refunding(), void=answer_of(session.intent_id, "succeeded", 3000)).run(order, JobKind.VOID)
    await shop.conn.execute("update \"order\" set status = 'pending', canceled_at = null where id = $1", order.id)

    job = await hand.run(order, kind)

    assert job["state"] == "removed"
    assert "void_failed" not in await shop.incidents(order)
    assert "refund_failed" not in await shop.incidents(order)


async def test_vanished_while_it_was_voided_names_the_sums(hand: Hand, shop: Shop) -> None:
    order, session = await _canceled(hand, shop)

    async def forget() -> None:
        await shop.conn.execute("update payment_session set deleted_at = now()")

    canned = answering(hand, void=answer_of(session.intent_id, "canceled", 1000))
    await canned.before("void.record", forget).run(order, JobKind.VOID)

    assert await shop.incidents(order) == ["void_failed"]
    assert "10.00 EUR of 30.00 EUR received" in await _detail(shop, order)


async def test_stripes_event_before_the_row(hand: Hand, shop: Shop) -> None:
    await start_tracking(hand.services, now_ms())
    order = await shop.place(payments=(), total=AMOUNT)
    intent = await waiting_for(shop, "requires_action")
    await shop.conn.execute("update \"order\" set status = 'canceled', canceled_at = now() where id = $1", order.id)
    hint = Hint(id="evt_1", type="payment_intent.succeeded", intent_id=intent["id"], session="payses_later")
    await take_hint(hand.services, hint)
    session = await open_session(shop.conn, order, intent, amount=AMOUNT)
    await shop.conn.execute("update payment_session set id = 'payses_later' where id = $1", session.id)
    await shop.conn.execute("update grace.pending_stripe_events set next_at = now()")

    assert await retry_pending_hints(hand.services) == 1
    seen = answer_of(intent["id"], "canceled", 1000)
    await answering(hand, look=seen).run(order, JobKind.LOOK)

    assert await shop.incidents(order) == ["late_money"]
