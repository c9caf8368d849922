"""A void lets go of the hold once, whoever else does, and is not given up before the hold is gone."""

from __future__ import annotations

import logging
from decimal import Decimal
from typing import Any

import pytest
import redis.asyncio as aioredis

from app.domain.cancellation import PaymentAction
from app.domain.jobs import JobKind, JobState
from app.embedded.shop import SYSTEM, Payment, PlacedOrder
from app.embedded.shop_acts import cancel_by_medusa
from app.usecases.announce_incidents import announce_incidents
from tests.usecases.hand import Hand, Killed, nobody_is_told
from tests.usecases.ledger_rows import money_rows
from tests.world import Shop


async def test_a_void_leaves_the_payment_as_medusas_own_does(hand: Hand, shop: Shop) -> None:
    ours, theirs = await shop.place(), await shop.place()
    await hand.cancel(ours)
    job = await hand.run(ours, JobKind.VOID)
    await cancel_by_medusa(shop.conn, theirs)

    assert job["state"] == "done"
    mine, medusas = await money_rows(shop.conn, ours), await money_rows(shop.conn, theirs)
    for table in ("payment", "payment_collection", "payment_session", "capture", "refund", "order_transaction"):
        assert mine[table] == medusas[table], table
    line = (await shop.sandbox.ledger())[ours.intent_ids[0]]
    assert (line.status, line.voids, line.captured) == ("canceled", 1, 0)
    assert await hand.payment_action(ours) is PaymentAction.VOIDED
    assert await nobody_is_told(hand, ours)


async def test_a_manual_payment_is_voided_without_stripe(hand: Hand, shop: Shop) -> None:
    order = await shop.place(payments=[Payment(provider_id=SYSTEM)])
    await hand.cancel(order)
    assert await hand.payment_action(order) is PaymentAction.VOID_PENDING
    assert (await hand.run(order, JobKind.VOID))["state"] == "done"
    assert await hand.payment_action(order) is PaymentAction.VOIDED
    assert await shop.sandbox.requests() == []


async def test_a_hold_that_somebody_canceled_at_stripe_counts_as_voided(hand: Hand, shop: Shop) -> None:
    order = await shop.place()
    await hand.cancel(order)
    await hand.services.gateway.void(order.intent_ids[0], key="by-hand")

    assert (await hand.run(order, JobKind.VOID))["state"] == "done"
    assert (await shop.sandbox.ledger())[order.intent_ids[0]].voids == 1
    assert await nobody_is_told(hand, order)


async def test_a_hold_that_lapsed_counts_as_voided(hand: Hand, shop: Shop) -> None:
    order = await shop.place()
    await hand.cancel(order)
    await shop.sandbox.lapse(order.intent_ids[0])
    assert (await hand.run(order, JobKind.VOID))["state"] == "done"
    assert await hand.payment_action(order) is PaymentAction.VOIDED


async def test_a_worker_that_died_after_the_void_is_followed_up_by_a_look(hand: Hand, shop: Shop) -> None:
    order = await shop.place()
    await hand.cancel(order)
    with pytest.raises(Killed):
        await hand.dying_at("void.record").run(order, JobKind.VOID)
    assert await hand.payment_action(order) is PaymentAction.VOID_PENDING

    assert await hand.bury() == 1
    assert (await hand.run(order, JobKind.VOID))["state"] == "done"
    assert await hand.ops(order) == ["cancel", "retrieve"]
    assert (await shop.sandbox.ledger())[order.intent_ids[0]].voids == 1


@pytest.mark.parametrize(("step", "in_doubt"), [("void.claim", False), ("void.record", True)])
async def test_a_mistake_of_ours_is_a_failure_like_any_other(hand: Hand, shop: Shop, step: str, in_doubt: bool) -> None:
    order = await shop.place()
    await hand.cancel(order)

    async def go_wrong() -> None:
        message = "a mistake of ours"
        raise RuntimeError(message)

    for _ in range(3):
        job = await hand.before(step, go_wrong).run(order, JobKind.VOID)
    assert (job["state"], job["last_error"]) == ("scheduled", "RuntimeError: a mistake of ours")
    assert job["in_doubt"] == in_doubt
    assert await shop.incidents(order) == ["void_failed"]
    assert (await hand.run(order, JobKind.VOID))["state"] == "done"
    assert await shop.incidents(order) == []
    assert (await shop.sandbox.ledger())[order.intent_ids[0]].voids == 1


async def test_another_provider_needs_a_person(hand: Hand, shop: Shop) -> None:
    order = await shop.place(payments=[Payment(provider_id="pp_paypal_paypal")])
    await hand.cancel(order)
    job = await hand.run(order, JobKind.VOID)
    assert job["state"] == "dead"
    assert await shop.incidents(order) == ["unsupported_provider"]
    assert await hand.payment_action(order) is PaymentAction.VOID_FAILED


async def test_a_void_without_an_intent_in_the_data_needs_a_person(hand: Hand, shop: Shop) -> None:
    order = await shop.place()
    await shop.conn.execute("update payment set data = '{}' where id = $1", order.payment_ids[0])
    await hand.cancel(order)
    for _ in range(3):
        await hand.run(order, JobKind.VOID)
    assert await shop.incidents(order) == ["void_failed"]
    assert await hand.ops(order) == []


async def test_the_void_of_an_order_that_is_open_again_leaves_the_hold_alone(hand: Hand, shop: Shop) -> None:
    order = await shop.place()
    await hand.cancel(order)
    await shop.conn.execute("update \"order\" set status = 'pending', canceled_at = null where id = $1", order.id)
    assert (await hand.run(order, JobKind.VOID))["state"] == "scheduled"
    assert await shop.incidents(order) == ["void_failed"], "at once"
    assert (await shop.sandbox.intent(order.intent_ids[0]))["status"] == "requires_capture"
    await shop.conn.execute("update \"order\" set status = 'canceled' where id = $1", order.id)
    assert (await hand.run(order, JobKind.VOID))["state"] == "done"
    assert await shop.incidents(order) == []


@pytest.mark.parametrize("refunds", [False, True], ids=["alert", "refund"])
async def test_captured_at_stripe_before_the_void_is_late_money(hand: Hand, shop: Shop, refunds: bool) -> None:
    """The webhook has not arrived: Medusa's rows know nothing of the money, and Medusa would keep it."""
    order = await shop.place()
    hand = hand.refunding() if refunds else hand
    await hand.services.gateway.capture(order.intent_ids[0], amount=2974, key="by-hand")
    await hand.cancel(order)

    job = await hand.run(order, JobKind.VOID)

    assert job["state"] == "done"
    assert await shop.incidents(order) == ["late_money"]
    assert await hand.payment_action(order) is PaymentAction.VOID_FAILED
    payment = await shop.payment(order)
    assert payment["captured_at"] is not None
    assert payment["canceled_at"] is None
    captured = await shop.conn.fetchval("select amount from capture where payment_id = $1", order.payment_ids[0])
    assert captured == Decimal("29.7381")
    assert ("publish", f"payment.captured:{order.payment_ids[0]}") in await hand.jobs(order)
    assert (await shop.job(order, JobKind.REFUND) is not None) == refunds
    if refunds:
        assert await hand.run_until(order, JobKind.REFUND, JobState.DONE) == 1
        assert await shop.incidents(order) == []
        assert await hand.payment_action(order) is PaymentAction.NONE
        assert (await shop.sandbox.ledger())[order.intent_ids[0]].refunded == 2974


async def test_two_payments_of_which_one_void_fails_stay_an_incident_until_both_are_done(
    hand: Hand, shop: Shop
) -> None:
    order = await shop.place(amounts=("20.00", "9.7381"))
    first, second = order.payment_ids
    await hand.cancel(order)
    for intent_id in order.intent_ids:
        await shop.sandbox.fault("payment_intents.cancel", "error", times=3, object_id=intent_id, status=500)
    for _ in range(3):
        await hand.run(order, JobKind.VOID, first)
        await hand.run(order, JobKind.VOID, second)
    assert await shop.incidents(order) == ["void_failed"]

    assert (await hand.run(order, JobKind.VOID, first))["state"] == "done"
    assert await shop.incidents(order) == ["void_failed"], "the other one still fails"
    assert await hand.payment_action(order) is PaymentAction.VOID_FAILED
    assert (await hand.run(order, JobKind.VOID, second))["state"] == "done"
    assert await shop.incidents(order) == []
    assert await hand.payment_action(order) is PaymentAction.VOIDED


async def test_a_healed_void_closes_its_incident_beside_a_payment_of_another_provider(hand: Hand, shop: Shop) -> None:
    intent = await shop.sandbox.authorize(2000, "eur")
    mixed = [
        Payment(amount=Decimal("20"), provider_id="pp_stripe_stripe", intent=intent),
        Payment(amount=Decimal("5"), provider_id="pp_paypal_paypal"),
    ]
    order = await shop.place(payments=mixed)
    await hand.cancel(order)
    await hand.run(order, JobKind.VOID, order.payment_ids[1])
    await shop.sandbox.fault("payment_intents.cancel", "error", times=3, status=500)
    for _ in range(4):
        await hand.run(order, JobKind.VOID, order.payment_ids[0])
    assert await shop.incidents(order) == ["unsupported_provider"]


async def test_people_are_told_once_an_incident_however_often_the_void_fails(
    hand: Hand, shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    order = await shop.place()
    await hand.cancel(order)
    await shop.sandbox.fault("payment_intents.cancel", "error", times=6, status=500)
    with caplog.at_level(logging.CRITICAL):
        for _ in range(6):
            await hand.run(order, JobKind.VOID)
            await announce_incidents(hand.services)
        await hand.run(order, JobKind.VOID)
        await announce_incidents(hand.services)
    alarms: list[Any] = [record.msg for record in caplog.records if record.levelno == logging.CRITICAL]
    assert [alarm["event"] for alarm in alarms] == [
        f"Order {order.id} Canceled but Payment Void Failed. Manual Void Required."
    ]
    assert alarms[0]["kind"] == "void_failed"
    assert "500" in alarms[0]["detail"]
    assert await shop.incidents(order) == []


async def test_another_worker_at_stripe_for_the_same_order_is_waited_for(
    hand: Hand, shop: Shop, redis_url: str
) -> None:
    order = await shop.place()
    await hand.cancel(order)
    async with aioredis.Redis.from_url(redis_url) as client:
        lock = (await hand.redis_keys()).order_lock(order.id)
        await client.set(lock, "another worker", px=20_000)
        job = await hand.run(order, JobKind.VOID)
        assert (job["state"], job["attempts"], job["failures"]) == ("scheduled", 0, 0)
        assert await hand.ops(order) == []
        await client.delete(lock)
        assert (await hand.run(order, JobKind.VOID))["state"] == "done"
        assert await client.exists(lock) == 0, "the lock is given back"


async def test_voids_of_the_past_do_nothing(hand: Hand, shop: Shop) -> None:
    order = await shop.place()
    await hand.cancel(order)
    ref = await hand.queue(order, JobKind.VOID)
    for _ in range(3):
        await hand.deliver(JobKind.VOID, ref)
    assert await hand.ops(order) == ["cancel"]
    assert (await _job(hand, order))["attempts"] == 1


async def _job(hand: Hand, order: PlacedOrder) -> Any:
    return await hand.job(order, JobKind.VOID)
