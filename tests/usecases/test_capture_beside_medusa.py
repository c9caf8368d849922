"""Captures of ours where Medusa, its admin or its webhook acts on the same payment."""

from __future__ import annotations

from decimal import Decimal

from app.domain.cancellation import Refusal, Refused
from app.domain.jobs import JobKind, JobState
from app.embedded.shop import PlacedOrder
from app.embedded.shop_acts import cancel_by_medusa, capture_by_medusa, drop_capture, settle_capture
from tests.usecases.hand import Hand, nobody_is_told
from tests.usecases.ledger_rows import money_rows, twins_agree
from tests.world import Shop


async def test_captured_in_the_admin_first_nothing_is_written_twice(hand: Hand, shop: Shop) -> None:
    order = await shop.place()
    await hand.schedule(order, JobKind.CAPTURE)
    await capture_by_medusa(shop.conn, order, order.payment_ids[0])
    before = await money_rows(shop.conn, order)

    job = await hand.run(order, JobKind.CAPTURE)

    assert (job["state"], job["last_error"]) == ("done", "already_captured")
    assert await money_rows(shop.conn, order) == before
    assert await hand.ops(order) == []
    assert await hand.jobs(order) == {("capture", order.payment_ids[0]): "done"}, "Medusa told its subscribers itself"


async def test_captured_in_the_admin_while_our_call_runs(hand: Hand, shop: Shop) -> None:
    order, twin = await shop.place(), await shop.place()
    await hand.schedule(order, JobKind.CAPTURE)

    by_admin = []

    async def admin_captures() -> None:
        await capture_by_medusa(shop.conn, order, order.payment_ids[0])
        by_admin.append(await shop.payment(order))

    job = await hand.before("capture.record", admin_captures).run(order, JobKind.CAPTURE)
    await capture_by_medusa(shop.conn, twin, twin.payment_ids[0])

    assert job["state"] == "done"
    assert await shop.payment(order) == by_admin[0], "what stands already is not written again"
    assert len(await hand.jobs(order)) == 1, "Medusa told its subscribers itself"
    assert await money_rows(shop.conn, order) == await money_rows(shop.conn, twin)
    assert await hand.ops(order) == ["capture"]


async def test_the_webhook_recorded_our_own_capture_first(hand: Hand, shop: Shop) -> None:
    """Medusa's webhook books Stripe's 29.74 where the order says 29.7381: its rows stay as they are."""
    order = await shop.place()
    await hand.schedule(order, JobKind.CAPTURE)

    async def webhook_arrives() -> None:
        await capture_by_medusa(shop.conn, order, order.payment_ids[0], Decimal("29.74"))

    job = await hand.before("capture.record", webhook_arrives).run(order, JobKind.CAPTURE)

    assert job["state"] == "done"
    assert await _captured(shop, order) == [Decimal("29.74")]
    await twins_agree(shop.conn, order)
    assert await nobody_is_told(hand, order)


async def test_medusa_has_a_capture_in_flight_so_ours_waits(hand: Hand, shop: Shop) -> None:
    order = await shop.place()
    await hand.schedule(order, JobKind.CAPTURE)
    theirs = await capture_by_medusa(shop.conn, order, order.payment_ids[0], in_flight=True)

    job = await hand.run(order, JobKind.CAPTURE)
    assert (job["state"], job["failures"], job["in_doubt"]) == ("scheduled", 0, False)
    waits = await shop.conn.fetchval("select run_at - now() from grace.jobs where id = $1", job["id"])
    assert 3 < waits.total_seconds() <= 5
    assert await hand.ops(order) == []

    await settle_capture(shop.conn, order, theirs)
    assert (await hand.run(order, JobKind.CAPTURE))["state"] == "done"
    assert await hand.ops(order) == []
    assert await _captured(shop, order) == [Decimal("29.7381")]


async def test_medusas_capture_in_flight_fails_and_ours_goes_on(hand: Hand, shop: Shop) -> None:
    order = await shop.place()
    await hand.schedule(order, JobKind.CAPTURE)
    theirs = await capture_by_medusa(shop.conn, order, order.payment_ids[0], in_flight=True)
    await hand.run(order, JobKind.CAPTURE)
    await drop_capture(shop.conn, theirs)

    assert (await hand.run(order, JobKind.CAPTURE))["state"] == "done"
    assert await hand.ops(order) == ["retrieve", "capture"]
    assert await _captured(shop, order) == [Decimal("29.7381")]


async def test_medusas_capture_in_flight_at_the_record_gets_no_second_row(hand: Hand, shop: Shop) -> None:
    order, twin = await shop.place(), await shop.place()
    await hand.schedule(order, JobKind.CAPTURE)
    theirs: list[str] = []

    async def admin_begins() -> None:
        theirs.append(await capture_by_medusa(shop.conn, order, order.payment_ids[0], in_flight=True))

    job = await hand.before("capture.record", admin_begins).run(order, JobKind.CAPTURE)
    assert (job["state"], job["in_doubt"], job["failures"]) == ("scheduled", True, 0)
    assert len(await _captured(shop, order)) == 1

    await settle_capture(shop.conn, order, theirs[0])
    assert (await hand.run(order, JobKind.CAPTURE))["state"] == "done"
    await capture_by_medusa(shop.conn, twin, twin.payment_ids[0])
    assert await money_rows(shop.conn, order) == await money_rows(shop.conn, twin)
    assert await hand.ops(order) == ["capture"]


async def test_a_capture_that_medusas_crash_left_behind_is_completed_once(hand: Hand, shop: Shop) -> None:
    order, twin = await shop.place(), await shop.place()
    await hand.schedule(order, JobKind.CAPTURE)
    await _left_behind(shop, order)

    assert (await hand.run(order, JobKind.CAPTURE))["state"] == "done"
    await capture_by_medusa(shop.conn, twin, twin.payment_ids[0])
    assert await money_rows(shop.conn, order) == await money_rows(shop.conn, twin)
    assert (await shop.sandbox.ledger())[order.intent_ids[0]].captures == 1


async def test_a_capture_left_behind_after_stripe_took_the_money_is_completed_once(hand: Hand, shop: Shop) -> None:
    order, twin = await shop.place(), await shop.place()
    await hand.schedule(order, JobKind.CAPTURE)
    await _left_behind(shop, order)
    await hand.services.gateway.capture(order.intent_ids[0], amount=2974, key="capt_of_medusa")

    assert (await hand.run(order, JobKind.CAPTURE))["state"] == "done"
    await capture_by_medusa(shop.conn, twin, twin.payment_ids[0])
    assert await money_rows(shop.conn, order) == await money_rows(shop.conn, twin)


async def test_partly_captured_in_the_admin_is_left_to_a_person(hand: Hand, shop: Shop) -> None:
    order = await shop.place()
    await hand.schedule(order, JobKind.CAPTURE)
    await capture_by_medusa(shop.conn, order, order.payment_ids[0], Decimal("10"))

    job = await hand.run(order, JobKind.CAPTURE)

    assert (job["state"], job["last_error"]) == ("done", "partially_captured")
    assert await hand.ops(order) == []
    assert await shop.incidents(order) == ["partial_capture"]
    detail = await shop.conn.fetchval("select detail from grace.incidents where order_id = $1", order.id)
    assert detail == f"{order.payment_ids[0]}: 10 of 29.7381 eur"


async def test_canceled_in_the_admin_before_the_capture_is_due(hand: Hand, shop: Shop) -> None:
    order = await shop.place()
    await hand.schedule(order, JobKind.CAPTURE)
    await cancel_by_medusa(shop.conn, order)

    job = await hand.run(order, JobKind.CAPTURE)

    assert (job["state"], job["last_error"]) == ("removed", "order_canceled")
    assert await hand.ops(order) == []
    assert await nobody_is_told(hand, order)


async def test_canceled_in_the_admin_but_its_void_failed_becomes_our_void(hand: Hand, shop: Shop) -> None:
    order = await shop.place()
    await hand.schedule(order, JobKind.CAPTURE)
    await cancel_by_medusa(shop.conn, order, void_succeeded=False)

    assert (await hand.run(order, JobKind.CAPTURE))["state"] == "removed"
    assert (await shop.payment(order))["canceled_at"] is not None, "Medusa's Capture button is shut"
    assert (await hand.run(order, JobKind.VOID))["state"] == "done"
    assert (await shop.sandbox.intent(order.intent_ids[0]))["status"] == "canceled"


async def test_canceled_in_the_admin_while_our_call_runs_is_late_money(hand: Hand, shop: Shop) -> None:
    order = await shop.place()
    await hand.schedule(order, JobKind.CAPTURE)

    job = await _canceled_meanwhile(hand, shop, order).run(order, JobKind.CAPTURE)

    assert job["state"] == "done"
    payment = await shop.payment(order)
    assert payment["captured_at"] is not None
    assert payment["canceled_at"] is None, "the rows say what Stripe says"
    assert await _captured(shop, order) == [Decimal("29.7381")]
    booked = await shop.row("select version, amount from order_transaction where order_id = $1", order.id)
    assert tuple(booked) == (2, Decimal("29.7381")), "booked in the order's version of now"
    assert await shop.status(order) == "canceled"
    assert await shop.incidents(order) == ["late_money"]
    assert await shop.job(order, JobKind.REFUND) is None, "LATE_MONEY=alert moves no money"
    await twins_agree(shop.conn, order)


async def test_late_money_is_refunded_once_where_the_shop_chose_so(hand: Hand, shop: Shop) -> None:
    order = await shop.place()
    await hand.schedule(order, JobKind.CAPTURE)
    refunding = hand.refunding()
    await _canceled_meanwhile(refunding, shop, order).run(order, JobKind.CAPTURE)
    assert await shop.incidents(order) == ["late_money"]

    assert await refunding.run_until(order, JobKind.REFUND, JobState.DONE) == 1

    line = (await shop.sandbox.ledger())[order.intent_ids[0]]
    assert (line.captured, line.refunded, line.refunds) == (2974, 2974, 1)
    refund = await shop.row("select id, amount from refund where payment_id = $1", order.payment_ids[0])
    assert refund["amount"] == Decimal("29.7381")
    booked = await shop.conn.fetch(
        "select amount, reference, reference_id from order_transaction where order_id = $1 order by amount", order.id
    )
    assert tuple(booked[0]) == (Decimal("-29.7381"), "refund", refund["id"])
    assert len(booked) == 2
    totals = await shop.row(
        "select totals ->> 'paid_total' as paid, totals ->> 'refunded_total' as refunded, "
        "totals ->> 'transaction_total' as moved from order_summary where order_id = $1 and version = 2",
        order.id,
    )
    assert tuple(totals) == ("29.7381", "29.7381", "0")
    collection = await shop.row("select * from payment_collection where id = $1", order.collection_ids[0])
    assert (collection["captured_amount"], collection["refunded_amount"]) == (Decimal("29.7381"),) * 2
    await twins_agree(shop.conn, order)
    assert await shop.incidents(order) == []
    assert await shop.incidents(order, open_only=False) == ["late_money"]


async def test_a_cancel_while_medusas_capture_is_in_flight_is_refused(hand: Hand, shop: Shop) -> None:
    order = await shop.place()
    await hand.schedule(order, JobKind.CAPTURE)
    theirs = await capture_by_medusa(shop.conn, order, order.payment_ids[0], in_flight=True)
    assert await hand.cancel(order) == Refused(Refusal.CAPTURE_IN_FLIGHT)
    await drop_capture(shop.conn, theirs)
    assert not isinstance(await hand.cancel(order), Refused)


async def _left_behind(shop: Shop, order: PlacedOrder) -> None:
    capture_id = await capture_by_medusa(shop.conn, order, order.payment_ids[0], in_flight=True)
    await shop.conn.execute("update capture set created_at = now() - interval '6 minutes' where id = $1", capture_id)


def _canceled_meanwhile(hand: Hand, shop: Shop, order: PlacedOrder) -> Hand:
    """Medusa's admin cancels while Stripe captures for us: its own void fails, and is swallowed."""

    async def admin_cancels() -> None:
        await cancel_by_medusa(shop.conn, order, void_succeeded=False)

    return hand.before("capture.record", admin_cancels)


async def _captured(shop: Shop, order: PlacedOrder) -> list[Decimal]:
    rows = await shop.conn.fetch("select amount from capture where payment_id = any($1)", order.payment_ids)
    return [row["amount"] for row in rows]
