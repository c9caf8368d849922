"""Write cancellations, voids, captures and refunds as Medusa writes them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from app.domain.money import covers, decimal_digits, from_minor_units, to_minor_units
from app.domain.order import Order, Payment, PaymentState
from app.ports import Connection, Intent
from app.store.functions import Function, named
from plugins.medusa_bridge.ids import new_id
from plugins.medusa_bridge.sqlfile import statement

_CANCEL_ORDER: Final = statement("cancel_order")
_CANCEL_PAYMENT: Final = statement("cancel_payment")
_RECORD_VOID: Final = statement("record_void")
_UNBOOKED_CAPTURES: Final = statement("captures_without_transaction")
_INSERT_TRANSACTION: Final = statement("insert_order_transaction")
_ADD_TO_SUMMARY: Final = statement("add_to_summary")
_RECOUNT_COLLECTION: Final = statement("recount_collection")
_INSERT_REFUND: Final = statement("insert_refund")
_DRIFT: Final = statement("drift_of_payment")
_REOPEN_PAYMENT: Final = statement("reopen_payment")
_RECOUNT_SUMMARY: Final = statement("recount_summary")

BOOK_CAPTURE: Final = Function.of(
    "book_capture",
    statement("functions/book_capture"),
    {
        "insert_capture": named(statement("insert_capture"), "the_capture", "the_missing", "the_payment"),
        "mark_payment_captured": named(statement("mark_payment_captured"), "the_payment", "the_intent", "the_whole"),
        "captures_without_transaction": named(_UNBOOKED_CAPTURES, "the_order", "the_payment"),
        "insert_order_transaction": named(
            _INSERT_TRANSACTION,
            "the_transaction",
            "the_order",
            "the_version",
            "the_unbooked.amount",
            "the_unbooked.currency_code",
            "'capture'",
            "the_unbooked.id",
        ),
        "add_to_summary": named(_ADD_TO_SUMMARY, "the_order", "the_version", "the_booked", "0"),
        "recount_collection": named(_RECOUNT_COLLECTION, "the_collection", "the_digits"),
    },
)
_BOOK_CAPTURE: Final = f"select {BOOK_CAPTURE.name}($1, $2, $3, $4, $5, $6, $7, $8, $9)"

_NOTHING: Final = Decimal(0)


async def cancel_order(conn: Connection, order: Order) -> None:
    """Order, held payments and payment collections, in one statement. ``order.version`` stays."""
    await conn.execute(_CANCEL_ORDER, order.id, held(order))


def held(order: Order) -> list[str]:
    """The ids of the payments that a cancel closes."""
    return [payment.id for payment in order.payments if payment.state is PaymentState.HELD]


async def cancel_payment(conn: Connection, payment: Payment) -> None:
    """Shut Medusa's Capture button for a hold that its own cancel failed to void."""
    await conn.execute(_CANCEL_PAYMENT, payment.id)


async def record_void(conn: Connection, payment: Payment, intent: Intent) -> None:
    """``payment.data`` is the answer of the void, as after Medusa's own."""
    await conn.execute(_RECORD_VOID, payment.id, intent.raw)


async def record_capture(conn: Connection, order: Order, payment: Payment, intent: Intent | None) -> bool:
    """Capture row, payment, order_transaction, order_summary and payment_collection, whichever is missing.

    Nothing is written when ``captured_at`` stands already: then Medusa, its webhook or an earlier run of
    ours wrote all of it.
    """
    if payment.captured_at is not None:
        return False
    await conn.execute(_BOOK_CAPTURE, *capture_arguments(order, payment, intent))
    return True


def capture_arguments(order: Order, payment: Payment, intent: Intent | None) -> tuple[Any, ...]:
    """What ``BOOK_CAPTURE`` is called with."""
    taken = _taken(payment, intent)
    return (
        order.id,
        order.version,
        payment.id,
        payment.collection_id,
        decimal_digits(payment.currency),
        new_id("capt"),
        taken - payment.captured,
        intent and intent.raw,
        covers(max(taken, payment.captured), payment.amount, payment.currency),
    )


async def record_refund(conn: Connection, order: Order, payment: Payment, refunded: Decimal) -> bool:
    """Refund row, order_transaction, order_summary and payment_collection for what the rows do not say yet."""
    missing = refunded - payment.refunded
    if missing <= 0:
        return False
    refund_id = new_id("ref")
    await conn.execute(_INSERT_REFUND, refund_id, missing, payment.id, "captured after the order was canceled")
    await conn.execute(
        _INSERT_TRANSACTION,
        new_id("ordtrx"),
        order.id,
        order.version,
        -missing,
        payment.currency,
        "refund",
        refund_id,
    )
    await conn.execute(_ADD_TO_SUMMARY, order.id, order.version, _NOTHING, missing)
    await conn.execute(_RECOUNT_COLLECTION, payment.collection_id, decimal_digits(payment.currency))
    return True


async def mend_capture(conn: Connection, order: Order, payment: Payment, *, abandoned: bool) -> None:
    """Put right what a capture of Medusa's did around a captured payment. Where all is well, nothing is written.

    Medusa sums up and books from what it has read, without a lock: what was written meanwhile, a refund of ours say,
    is gone from its sums. It also leaves ``canceled_at``, and then its admin refuses to refund. Transactions that
    it owes are written only when its capture is ``abandoned``, since it would write them a second time.
    """
    if abandoned:
        await _book_captures(conn, order, payment)
    drift = await conn.fetchrow(_DRIFT, order.id, payment.id)
    if drift is None:
        return
    if drift["is_closed"]:
        await conn.execute(_REOPEN_PAYMENT, payment.id)
    if drift["collection_differs"]:
        await conn.execute(_RECOUNT_COLLECTION, payment.collection_id, decimal_digits(payment.currency))
    if drift["summary_differs"]:
        await conn.execute(_RECOUNT_SUMMARY, order.id, order.version)


def _taken(payment: Payment, intent: Intent | None) -> Decimal:
    """What was captured in all. Stripe's ``amount_received`` is believed, not the capture rows: Medusa's
    provider captures everything whatever amount was asked for. Where it is the rounded amount of the
    payment, the unrounded one is booked, as Medusa books it."""
    if intent is None or intent.amount_received == to_minor_units(payment.amount, payment.currency):
        return payment.amount
    return from_minor_units(intent.amount_received, payment.currency)


async def _book_captures(conn: Connection, order: Order, payment: Payment) -> None:
    booked = _NOTHING
    for row in await conn.fetch(_UNBOOKED_CAPTURES, order.id, payment.id):
        await conn.execute(
            _INSERT_TRANSACTION,
            new_id("ordtrx"),
            order.id,
            order.version,
            row["amount"],
            row["currency_code"],
            "capture",
            row["id"],
        )
        booked += row["amount"]
    if booked:
        await conn.execute(_ADD_TO_SUMMARY, order.id, order.version, booked, _NOTHING)
