"""One broken promise each: what is done to a shop, and what must be found, no more and no less."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from app.domain.findings import Defect
from app.embedded.shop import PlacedOrder
from app.embedded.shop_acts import cancel_by_medusa, capture_by_medusa, refund_by_medusa
from app.embedded.shop_parcels import fulfill
from app.embedded.shop_sessions import book_session, open_session, share_collection
from tests.doctor.clinic import SYSTEM, Clinic

Expected = set[tuple[str, str | None]]
Seed = Callable[[Clinic], Awaitable[Expected]]


def _of(defect: Defect, order: PlacedOrder | None) -> Expected:
    return {(defect.value, order.id if order else None)}


async def void_swallowed_by_medusa(clinic: Clinic) -> Expected:
    order = await clinic.place()
    await clinic.let_go(order)
    await cancel_by_medusa(clinic.conn, order, void_succeeded=False)
    return _of(Defect.LIVE_PAYMENT, order)


async def manual_hold_of_canceled_order(clinic: Clinic) -> Expected:
    order = await clinic.place(payments=SYSTEM)
    await cancel_by_medusa(clinic.conn, order, void_succeeded=False)
    return _of(Defect.LIVE_PAYMENT, order)


async def captured_then_canceled(clinic: Clinic) -> Expected:
    order = await clinic.captured(payments=SYSTEM)
    await clinic.mark_canceled(order)
    return _of(Defect.CAPTURED_PAYMENT, order)


async def partly_captured_then_canceled(clinic: Clinic) -> Expected:
    order = await clinic.place(payments=SYSTEM)
    await capture_by_medusa(clinic.conn, order, order.payment_ids[0], Decimal(10))
    await clinic.mark_canceled(order)
    return _of(Defect.CAPTURE, order)


async def capture_in_flight_for_ever(clinic: Clinic) -> Expected:
    order = await clinic.place(payments=SYSTEM)
    await capture_by_medusa(clinic.conn, order, order.payment_ids[0], in_flight=True)
    await clinic.mark_canceled(order)
    return _of(Defect.CAPTURE, order)


async def voided_in_rows_alone(clinic: Clinic) -> Expected:
    order = await clinic.place()
    await cancel_by_medusa(clinic.conn, order)
    return _of(Defect.HELD_AT_STRIPE, order)


async def row_canceled_on_open_order(clinic: Clinic) -> Expected:
    order = await clinic.watched()
    await clinic.conn.execute("update payment set canceled_at = now() where id = $1", order.payment_ids[0])
    return _of(Defect.HELD_AT_STRIPE, order)


async def taken_at_stripe_after_cancel(clinic: Clinic) -> Expected:
    order = await clinic.place()
    await clinic.take(order)
    await cancel_by_medusa(clinic.conn, order)
    return _of(Defect.CAPTURED_AT_STRIPE, order)


async def session_that_can_still_be_paid(clinic: Clinic) -> Expected:
    order = await clinic.place(payments=())
    card = "pm_card_authenticationRequired"
    intent = await clinic.shop.sandbox.authorize(2974, "eur", "automatic", payment_method=card)
    await open_session(clinic.conn, order, intent, amount=order.total)
    await clinic.mark_canceled(order)
    return _of(Defect.LIVE_SESSION, order)


async def session_paid_on_a_canceled_order(clinic: Clinic) -> Expected:
    order = await clinic.place(payments=())
    intent = await clinic.shop.sandbox.authorize(2974, "eur", "automatic")
    await open_session(clinic.conn, order, {**intent, "status": "processing"}, amount=order.total)
    await clinic.mark_canceled(order)
    return _of(Defect.CAPTURED_AT_STRIPE, order)


async def shared_with_an_open_order(clinic: Clinic) -> Expected:
    order = await clinic.place(amounts=("90",), total=Decimal(30))
    await share_collection(clinic.conn, await clinic.place(payments=(), total=Decimal(60)), order)
    await clinic.mark_canceled(order)
    return _of(Defect.SHARED_PAYMENT, order)


async def session_shared_with_an_open_order(clinic: Clinic) -> Expected:
    order = await clinic.place(payments=())
    card = "pm_card_authenticationRequired"
    intent = await clinic.shop.sandbox.authorize(2974, "eur", "automatic", payment_method=card)
    session = await open_session(clinic.conn, order, intent, amount=order.total)
    await share_collection(
        clinic.conn, await clinic.place(payments=()), replace(order, collection_ids=(session.collection_id,))
    )
    await clinic.mark_canceled(order)
    return _of(Defect.SHARED_PAYMENT, order)


async def order_whose_payment_is_unknown(clinic: Clinic) -> Expected:
    order = await clinic.place(payments=())
    return _of(Defect.ORDER_WITHOUT_PAYMENT, order)


async def hold_that_no_order_reaches(clinic: Clinic) -> Expected:
    order = await clinic.place(payments=())
    intent = await clinic.shop.sandbox.authorize(9000, "eur")
    session = await open_session(clinic.conn, order, intent, amount=Decimal(90), through_cart=True)
    await book_session(clinic.conn, order, session, intent)
    return _of(Defect.ORDER_WITHOUT_PAYMENT, order) | _of(Defect.HOLD_WITHOUT_ORDER, None)


async def partly_given_back_after_cancel(clinic: Clinic) -> Expected:
    """Medusa's cancel refunds what its rows say; its provider had captured everything."""
    order = await clinic.captured()
    await clinic.give_back(order, 1000)
    await clinic.mark_canceled(order)
    await refund_by_medusa(clinic.conn, order, order.payment_ids[0], Decimal(10))
    return _of(Defect.CAPTURED_AT_STRIPE, order)


async def taken_at_stripe_unknown_to_rows(clinic: Clinic) -> Expected:
    order = await clinic.place()
    await clinic.take(order)
    return _of(Defect.CAPTURED_WITHOUT_ROWS, order)


async def lapsed_at_stripe(clinic: Clinic) -> Expected:
    order = await clinic.watched()
    await clinic.shop.sandbox.lapse(order.intent_ids[0])
    return _of(Defect.LOST_HOLD, order)


async def partly_taken_at_stripe(clinic: Clinic) -> Expected:
    order = await clinic.place()
    await clinic.take(order, 1000)
    await capture_by_medusa(clinic.conn, order, order.payment_ids[0])
    return _of(Defect.SUMS_DIFFER, order)


async def refunded_in_dashboard(clinic: Clinic) -> Expected:
    order = await clinic.captured()
    await clinic.give_back(order, 500)
    return _of(Defect.SUMS_DIFFER, order)


async def capture_job_done_for_nothing(clinic: Clinic) -> Expected:
    order = await clinic.place()
    await clinic.job(order, "capture", order.payment_ids[0], "done")
    return _of(Defect.UNCAPTURED, order)


async def never_noticed(clinic: Clinic) -> Expected:
    order = await clinic.place(placed_ago=timedelta(minutes=20))
    await clinic.conn.execute(
        "insert into grace.cursors (name, position) values ('payments.start', 'pay_0') on conflict do nothing"
    )
    return _of(Defect.UNCAPTURED, order)


async def rest_of_a_partial_capture(clinic: Clinic) -> Expected:
    order = await clinic.place()
    await clinic.take(order, 1000)
    await capture_by_medusa(clinic.conn, order, order.payment_ids[0], Decimal(10))
    await clinic.job(order, "capture", order.payment_ids[0], "done")
    return _of(Defect.UNCAPTURED, order)


async def canceled_payment_of_open_order(clinic: Clinic) -> Expected:
    order = await clinic.place()
    await clinic.let_go(order)
    await clinic.conn.execute("update payment set canceled_at = now() where id = $1", order.payment_ids[0])
    await clinic.job(order, "capture", order.payment_ids[0], "removed")
    return _of(Defect.UNCAPTURED, order)


async def old_hold(clinic: Clinic) -> Expected:
    return _of(Defect.HOLD_LAPSES, await clinic.place(placed_ago=timedelta(days=6, hours=2)))


async def packed_after_cancel(clinic: Clinic) -> Expected:
    order = await clinic.place()
    await fulfill(clinic.conn, order)
    await clinic.let_go(order)
    await cancel_by_medusa(clinic.conn, order)
    return _of(Defect.PARCEL, order)


async def captured_by_both(clinic: Clinic) -> Expected:
    order = await clinic.captured(payments=SYSTEM)
    await capture_by_medusa(clinic.conn, order, order.payment_ids[0])
    return _of(Defect.CAPTURED_TWICE, order)


async def captured_at_without_captures(clinic: Clinic) -> Expected:
    order = await clinic.place(payments=SYSTEM)
    await clinic.conn.execute("update payment set captured_at = now() where id = $1", order.payment_ids[0])
    return _of(Defect.PAYMENT_DRIFT, order)


async def capture_left_behind_by_a_crash(clinic: Clinic) -> Expected:
    order = await clinic.place(payments=SYSTEM)
    await capture_by_medusa(clinic.conn, order, order.payment_ids[0], in_flight=True)
    return _of(Defect.PAYMENT_DRIFT, order)


async def collection_miscounted(clinic: Clinic) -> Expected:
    order = await clinic.captured()
    await clinic.conn.execute(
        'update payment_collection set captured_amount = 5, raw_captured_amount = \'{"value": "5"}\' where id = $1',
        order.collection_ids[0],
    )
    return _of(Defect.COLLECTION_DRIFT, order)


async def refund_missing_in_collection(clinic: Clinic) -> Expected:
    order = await clinic.captured(payments=SYSTEM)
    await refund_by_medusa(clinic.conn, order, order.payment_ids[0], Decimal(5))
    await clinic.conn.execute(
        'update payment_collection set refunded_amount = 0, raw_refunded_amount = \'{"value": "0"}\' where id = $1',
        order.collection_ids[0],
    )
    return _of(Defect.COLLECTION_DRIFT, order)


async def capture_booked_under_another_id(clinic: Clinic) -> Expected:
    order = await clinic.captured()
    await clinic.conn.execute("update order_transaction set reference_id = 'capt_x' where order_id = $1", order.id)
    return _of(Defect.TRANSACTION_DRIFT, order)


async def capture_booked_twice(clinic: Clinic) -> Expected:
    """As when Medusa's webhook and a job of ours write at once."""
    order = await clinic.captured()
    await clinic.conn.execute(
        "insert into order_transaction (id, order_id, version, amount, raw_amount, currency_code, reference, "
        "reference_id) select 'ordtrx_2_' || id, order_id, version, amount, raw_amount, currency_code, reference, "
        "reference_id from order_transaction where order_id = $1",
        order.id,
    )
    await _double_summary(clinic, order)
    return _of(Defect.TRANSACTION_DRIFT, order)


async def refund_that_never_was(clinic: Clinic) -> Expected:
    """Medusa's cancel beside a capture leaves a transaction of a refund that its provider refused."""
    order = await clinic.captured(payments=SYSTEM)
    await refund_by_medusa(clinic.conn, order, order.payment_ids[0], Decimal(5))
    await clinic.conn.execute("delete from refund where payment_id = $1", order.payment_ids[0])
    await clinic.conn.execute(
        'update payment_collection set refunded_amount = 0, raw_refunded_amount = \'{"value": "0"}\' where id = $1',
        order.collection_ids[0],
    )
    return _of(Defect.TRANSACTION_DRIFT, order)


async def summary_miscounted(clinic: Clinic) -> Expected:
    order = await clinic.captured()
    await _double_summary(clinic, order)
    return _of(Defect.SUMMARY_DRIFT, order)


async def raw_forgotten(clinic: Clinic) -> Expected:
    order = await clinic.captured()
    await clinic.conn.execute(
        'update capture set raw_amount = \'{"value": "1"}\' where payment_id = $1', order.payment_ids[0]
    )
    return _of(Defect.TWIN_DRIFT, order)


async def raw_total_forgotten(clinic: Clinic) -> Expected:
    order = await clinic.captured()
    await clinic.conn.execute(
        "update order_summary set totals = totals || '{\"paid_total\": 1}' where order_id = $1", order.id
    )
    return _of(Defect.TWIN_DRIFT, order)


async def reserved_for_nobody(clinic: Clinic) -> Expected:
    order = await clinic.captured()
    await _add_to_level(clinic, order, 1)
    return _of(Defect.STOCK_DRIFT, order)


async def reserved_below_zero(clinic: Clinic) -> Expected:
    order = await clinic.canceled_by_medusa()
    await _add_to_level(clinic, order, -1)
    return _of(Defect.STOCK_DRIFT, order)


async def reserved_without_a_level(clinic: Clinic) -> Expected:
    order = await clinic.captured()
    await clinic.conn.execute("update inventory_level set deleted_at = now() where id = $1", order.level_ids[0])
    return _of(Defect.STOCK_DRIFT, order)


async def stock_of_canceled_order(clinic: Clinic) -> Expected:
    order = await clinic.canceled_by_medusa()
    await clinic.conn.execute("update reservation_item set deleted_at = null where id = $1", order.reservation_ids[0])
    await _add_to_level(clinic, order, 1)
    return _of(Defect.STOCK_KEPT, order)


async def reservation_of_no_order(clinic: Clinic) -> Expected:
    order = await clinic.captured()
    await clinic.conn.execute(
        "update reservation_item set line_item_id = 'ordli_gone' where id = $1", order.reservation_ids[0]
    )
    return _of(Defect.ORPHAN_RESERVATION, None)


async def reservation_of_deleted_order(clinic: Clinic) -> Expected:
    order = await clinic.captured()
    await clinic.conn.execute('update "order" set deleted_at = now() where id = $1', order.id)
    return _of(Defect.ORPHAN_RESERVATION, order)


async def overdue_job(clinic: Clinic) -> Expected:
    order = await clinic.place()
    await clinic.job(order, "capture", order.payment_ids[0], "scheduled", run_at="now() - interval '6 minutes'")
    return _of(Defect.JOB_STUCK, order)


async def queued_and_forgotten(clinic: Clinic) -> Expected:
    order = await clinic.place()
    await clinic.job(order, "capture", order.payment_ids[0], "queued", updated_at="now() - interval '6 minutes'")
    return _of(Defect.JOB_STUCK, order)


async def worker_gone(clinic: Clinic) -> Expected:
    order = await clinic.place()
    lapsed = "now() - interval '6 minutes'"
    await clinic.job(order, "capture", order.payment_ids[0], "running", lease_until=lapsed)
    return _of(Defect.JOB_STUCK, order)


async def failing_unnoticed(clinic: Clinic) -> Expected:
    order = await clinic.captured()
    since = "now() - interval '61 minutes'"
    await clinic.job(order, "publish", f"x:{order.id}", "scheduled", failures=40, failing_since=since)
    return _of(Defect.JOB_STUCK, order)


async def dead_and_silent(clinic: Clinic) -> Expected:
    order = await clinic.place()
    await clinic.job(order, "capture", order.payment_ids[0], "dead", updated_at="now() - interval '1 minute'")
    await clinic.incident(order, "publish_failed")
    return _of(Defect.JOB_DEAD, order)


async def refunded_twice(clinic: Clinic) -> Expected:
    order = await clinic.captured()
    await clinic.give_back(order, 1000)
    await clinic.give_back(order, 1974)
    await refund_by_medusa(clinic.conn, order, order.payment_ids[0])
    return _of(Defect.DONE_TWICE, order)


async def taken_without_any_order(clinic: Clinic) -> Expected:
    intent = await clinic.shop.sandbox.authorize(700, "eur")
    await clinic.gateway.capture(intent["id"], amount=700, key="nobody")
    return _of(Defect.CAPTURED_WITHOUT_ROWS, None)


async def column_dropped(clinic: Clinic) -> Expected:
    await clinic.conn.execute("alter table api_key drop column revoked_at")
    return _of(Defect.MISSING_SCHEMA, None)


async def index_dropped(clinic: Clinic) -> Expected:
    await clinic.conn.execute('drop index "IDX_capture_payment_id"')
    return _of(Defect.MISSING_INDEX, None)


async def _double_summary(clinic: Clinic, order: PlacedOrder) -> None:
    """Both forms of the totals say twice what was paid."""
    twice = order.total * 2
    totals = ", ".join(
        f"'{name}', {twice}, 'raw_{name}', jsonb_build_object('value', '{twice}')"
        for name in ("paid_total", "transaction_total")
    )
    await clinic.conn.execute(
        f"update order_summary set totals = totals || jsonb_build_object({totals}) where order_id = $1", order.id
    )


async def _add_to_level(clinic: Clinic, order: PlacedOrder, quantity: int) -> None:
    """Both forms of ``reserved_quantity``."""
    await clinic.conn.execute(
        "update inventory_level set reserved_quantity = reserved_quantity + $2, raw_reserved_quantity = "
        "jsonb_build_object('value', (reserved_quantity + $2)::text) where id = $1",
        order.level_ids[0],
        Decimal(quantity),
    )


FOR_THE_SANDBOX_ALONE: Mapping[str, Seed] = {seed.__name__: seed for seed in (refunded_twice, taken_without_any_order)}
"""Stripe itself does not count, and is only asked about intents that rows name."""

SEEDS: Mapping[str, Seed] = {
    name: seed
    for name, seed in globals().items()
    if callable(seed) and name.islower() and not name.startswith("_") and getattr(seed, "__module__", "") == __name__
    and name not in FOR_THE_SANDBOX_ALONE
}  # fmt: skip
