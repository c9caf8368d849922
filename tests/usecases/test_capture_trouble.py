"""Captures that cannot be made, that die half way, and that nobody asked for."""

from __future__ import annotations

from decimal import Decimal

import pytest
from msgspec.structs import replace

from app.domain.cancellation import Refusal, Refused
from app.domain.jobs import JobKind, JobRef, JobState
from app.embedded.shop import Payment, PlacedOrder
from app.embedded.shop_acts import cancel_by_medusa, capture_by_medusa, soft_delete
from app.ports import Answered
from tests.usecases.hand import Hand, Killed, nobody_is_told
from tests.usecases.ledger_rows import money_rows, twins_agree
from tests.world import Shop


async def test_a_payment_canceled_while_its_order_is_open_is_a_lost_authorization(hand: Hand, shop: Shop) -> None:
    order = await _due(hand, shop)
    await shop.conn.execute("update payment set canceled_at = now() where id = $1", order.payment_ids[0])

    job = await hand.run(order, JobKind.CAPTURE)

    assert (job["state"], job["last_error"]) == ("dead", "authorization_canceled")
    assert await shop.incidents(order) == ["authorization_lost"]
    assert await hand.ops(order) == []


async def test_a_hold_that_lapsed_is_a_lost_authorization_and_never_captured(hand: Hand, shop: Shop) -> None:
    order = await _due(hand, shop)
    before = await money_rows(shop.conn, order)
    await shop.sandbox.lapse(order.intent_ids[0])

    job = await hand.run(order, JobKind.CAPTURE)

    assert job["state"] == "dead"
    assert await shop.incidents(order) == ["authorization_lost"]
    after = await money_rows(shop.conn, order)
    (payment,) = after.pop("payment")
    assert (payment["canceled_at"], payment["captured_at"], payment["data"]["status"]) == (True, False, "canceled")
    assert after == {table: rows for table, rows in before.items() if table != "payment"}
    assert (await shop.sandbox.ledger())[order.intent_ids[0]].captured == 0


async def test_a_hold_that_lapsed_while_the_admin_canceled_tells_nobody(hand: Hand, shop: Shop) -> None:
    order = await _due(hand, shop)
    await shop.sandbox.lapse(order.intent_ids[0])

    async def admin_cancels() -> None:
        await cancel_by_medusa(shop.conn, order)

    job = await hand.before("capture.record", admin_cancels).run(order, JobKind.CAPTURE)
    assert job["state"] == "removed"
    assert await nobody_is_told(hand, order)


async def test_a_payment_that_is_settled_does_not_close_the_incident_of_one_that_fails(hand: Hand, shop: Shop) -> None:
    order = await shop.place(amounts=("20.00", "9.7381"))
    await hand.schedule(order, JobKind.CAPTURE)
    failing, captured = order.payment_ids
    await shop.sandbox.fault("payment_intents.capture", "error", times=3, object_id=order.intent_ids[0], status=500)
    for _ in range(3):
        await hand.run(order, JobKind.CAPTURE, failing)
    await capture_by_medusa(shop.conn, order, captured)
    await hand.run(order, JobKind.CAPTURE, captured)
    assert await shop.incidents(order) == ["capture_failed"]


async def test_another_provider_is_left_to_a_person(hand: Hand, shop: Shop) -> None:
    order = await shop.place(payments=[Payment(provider_id="pp_paypal_paypal")])
    await hand.schedule(order, JobKind.CAPTURE)

    job = await hand.run(order, JobKind.CAPTURE)

    assert (job["state"], job["last_error"]) == ("dead", "unsupported_provider")
    assert await shop.incidents(order) == ["unsupported_provider"]


async def test_a_stripe_payment_without_an_intent_becomes_an_incident(hand: Hand, shop: Shop) -> None:
    order = await _due(hand, shop)
    await shop.conn.execute("update payment set data = '{}' where id = $1", order.payment_ids[0])

    states = [(await hand.run(order, JobKind.CAPTURE))["state"] for _ in range(3)]

    assert states == ["scheduled"] * 3
    assert await shop.incidents(order) == ["capture_failed"]
    assert await shop.sandbox.requests("payment_intents.capture") == []


async def test_a_payment_that_vanished_takes_its_capture_with_it(hand: Hand, shop: Shop) -> None:
    order = await _due(hand, shop)
    await shop.conn.execute("update payment set deleted_at = now() where id = $1", order.payment_ids[0])
    job = await hand.run(order, JobKind.CAPTURE)
    assert (job["state"], job["last_error"]) == ("removed", "the order or its payment no longer exists")
    assert await hand.ops(order) == []


async def test_a_hold_whose_order_is_gone_needs_a_person(hand: Hand, shop: Shop) -> None:
    order = await _due(hand, shop)
    await soft_delete(shop.conn, order)
    assert (await hand.run(order, JobKind.CAPTURE))["state"] == "dead"
    assert await shop.incidents(order) == ["capture_failed"]
    assert await hand.ops(order) == []


async def test_a_payment_that_vanishes_during_its_capture_is_an_incident(hand: Hand, shop: Shop) -> None:
    order = await _due(hand, shop)

    async def vanish() -> None:
        await shop.conn.execute('update "order" set deleted_at = now() where id = $1', order.id)

    job = await hand.before("capture.record", vanish).run(order, JobKind.CAPTURE)
    assert job["state"] == "dead"
    assert await shop.incidents(order) == ["capture_failed"]


async def test_a_worker_that_died_after_stripe_took_the_money_is_followed_up_once(hand: Hand, shop: Shop) -> None:
    order, twin = await _due(hand, shop), await shop.place()
    with pytest.raises(Killed):
        await hand.dying_at("capture.record").run(order, JobKind.CAPTURE)
    assert (await shop.sandbox.ledger())[order.intent_ids[0]].captures == 1
    assert await hand.cancel(order) == Refused(Refusal.CAPTURE_IN_FLIGHT), "while it runs"

    assert await hand.bury() == 1
    job = await hand.job(order, JobKind.CAPTURE)
    assert (job["state"], job["in_doubt"]) == ("scheduled", True)
    assert await hand.cancel(order) == Refused(Refusal.CAPTURE_IN_FLIGHT), "while it is in doubt"
    ref = await hand.queue(order, JobKind.CAPTURE)
    assert await hand.cancel(order) == Refused(Refusal.CAPTURE_IN_FLIGHT), "while it is queued in doubt"

    await hand.deliver(JobKind.CAPTURE, ref)
    await capture_by_medusa(shop.conn, twin, twin.payment_ids[0])
    assert (await hand.job(order, JobKind.CAPTURE))["state"] == "done"
    assert await money_rows(shop.conn, order) == await money_rows(shop.conn, twin)
    assert await hand.ops(order) == ["capture", "retrieve"], "it looked, and did not ask again"
    assert await hand.cancel(order) == Refused(Refusal.CAPTURED)


async def test_a_worker_that_died_before_it_called_stripe_is_followed_up(hand: Hand, shop: Shop) -> None:
    order = await _due(hand, shop)
    ref = await hand.queue(order, JobKind.CAPTURE)
    await _claimed_and_died(shop, ref)

    await hand.bury()
    assert (await hand.run(order, JobKind.CAPTURE))["state"] == "done"
    assert await hand.ops(order) == ["retrieve", "capture"]


async def test_a_worker_whose_lease_lapsed_records_nothing(hand: Hand, shop: Shop) -> None:
    """It comes back from Stripe after the sweep: the job has a new owner, who looks and records."""
    order = await _due(hand, shop)

    async def swept() -> None:
        assert await hand.bury() == 1
        await hand.queue(order, JobKind.CAPTURE)

    await hand.before("capture.record", swept).run(order, JobKind.CAPTURE)
    job = await hand.job(order, JobKind.CAPTURE)
    assert job["state"] == "queued"
    assert (await shop.payment(order))["captured_at"] is None

    await hand.deliver(JobKind.CAPTURE, await hand.message(order, JobKind.CAPTURE))
    assert (await hand.job(order, JobKind.CAPTURE))["state"] == "done"
    assert await hand.ops(order) == ["capture", "retrieve"]


async def test_duplicated_and_stale_messages_do_nothing(hand: Hand, shop: Shop) -> None:
    order = await _due(hand, shop)
    stale = await hand.queue(order, JobKind.CAPTURE)
    await shop.conn.execute("update grace.jobs set updated_at = now() - interval '11 seconds'")
    assert await hand.bury() == 1
    fresh = await hand.queue(order, JobKind.CAPTURE)
    assert fresh.generation == stale.generation + 1

    await hand.deliver(JobKind.CAPTURE, stale)
    assert (await hand.job(order, JobKind.CAPTURE))["state"] == "queued"
    await hand.deliver(JobKind.CAPTURE, fresh)
    after = await money_rows(shop.conn, order)
    for ref in (fresh, stale, replace(fresh, generation=fresh.generation + 1), replace(fresh, id=f"{999:026d}")):
        await hand.deliver(JobKind.CAPTURE, ref)

    assert await money_rows(shop.conn, order) == after
    assert await hand.ops(order) == ["capture"]


async def test_stripe_took_less_than_the_payment(hand: Hand, shop: Shop) -> None:
    """Somebody captured 10.00 in Stripe's dashboard: that is what the rows say, and a person decides on the rest."""
    order = await _due(hand, shop)
    taken = await hand.services.gateway.capture(order.intent_ids[0], amount=1000, key="by-hand")
    assert isinstance(taken, Answered)

    await hand.run(order, JobKind.CAPTURE)

    capture = await shop.row("select amount from capture where payment_id = $1", order.payment_ids[0])
    assert capture["amount"] == Decimal("10.00")
    assert (await shop.payment(order))["captured_at"] is None
    collection = await shop.row("select * from payment_collection where id = $1", order.collection_ids[0])
    assert (collection["captured_amount"], collection["status"]) == (Decimal("10.00"), "authorized")
    await twins_agree(shop.conn, order)
    assert await shop.incidents(order) == ["partial_capture"]


async def test_stripe_took_more_than_the_payment(hand: Hand, shop: Shop) -> None:
    intent = await shop.sandbox.authorize(4000, "eur")
    order = await shop.place(
        payments=[Payment(amount=Decimal("29.7381"), provider_id="pp_stripe_stripe", intent=intent)]
    )
    await hand.schedule(order, JobKind.CAPTURE)
    await hand.services.gateway.capture(order.intent_ids[0], amount=4000, key="by-hand")

    assert await hand.run_until(order, JobKind.CAPTURE, JobState.DONE) == 1

    capture = await shop.row("select amount from capture where payment_id = $1", order.payment_ids[0])
    assert capture["amount"] == Decimal("40.00"), "amount_received is believed"
    assert (await shop.payment(order))["captured_at"] is not None
    collection = await shop.row("select * from payment_collection where id = $1", order.collection_ids[0])
    assert (collection["captured_amount"], collection["status"]) == (Decimal("40.00"), "completed")
    await twins_agree(shop.conn, order)


async def _due(hand: Hand, shop: Shop) -> PlacedOrder:
    order = await shop.place()
    await hand.schedule(order, JobKind.CAPTURE)
    return order


async def _claimed_and_died(shop: Shop, ref: JobRef) -> None:
    await shop.conn.execute(
        "update grace.jobs set state = 'running', attempts = 1, in_doubt = true, "
        "lease_until = now() + interval '20 seconds' where ulid = $1 and generation = $2",
        ref.id,
        ref.generation,
    )
