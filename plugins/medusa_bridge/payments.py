"""Write cancellations, voids, captures and refunds as Medusa writes them."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from app.domain.money import covers, decimal_digits, from_minor_units, given_back, to_minor_units, unrounded
from app.domain.order import Order, OrderState, Payment, PaymentSession
from app.domain.owed import share_of
from app.domain.shared import Part, parts_of_capture, parts_of_refund
from app.domain.void import needs_void
from app.ports import Connection, Intent, Payments
from plugins.medusa_bridge.ids import new_id
from plugins.medusa_bridge.order_rows import payment_of
from plugins.medusa_bridge.providers import ServedProviders
from plugins.medusa_bridge.sqlfile import statement

_PAYMENT: Final = statement("payment_facts")
_CANCEL_PAYMENT: Final = statement("cancel_payment")
_RECORD_SESSION: Final = statement("record_session")
_NOTE_SESSION_REFUND: Final = statement("note_session_refund")
_RECORD_VOID: Final = statement("record_void")
_UNBOOKED_CAPTURES: Final = statement("captures_without_transaction")
_INSERT_CAPTURE: Final = statement("insert_capture")
_MARK_CAPTURED: Final = statement("mark_payment_captured")
_RECORD_INTENT: Final = statement("record_intent")
_INSERT_TRANSACTION: Final = statement("insert_order_transaction")
_ADD_TO_SUMMARY: Final = statement("add_to_summary")
_RECOUNT_COLLECTION: Final = statement("recount_collection")
_RELEASE_REST: Final = statement("release_rest")
_RELEASE_HOLD: Final = statement("release_hold")
_INSERT_REFUND: Final = statement("insert_refund")
_DRIFT: Final = statement("drift_of_payment")
_REOPEN_PAYMENT: Final = statement("reopen_payment")
_RECOUNT_SUMMARY: Final = statement("recount_summary")

_NOTHING: Final = Decimal(0)


def held(order: Order) -> list[str]:
    """The ids of the payments that a cancel closes."""
    return [payment.id for payment in order.payments if needs_void(order, payment)]


def shared_collections(order: Order) -> list[str]:
    """The ids of the payment collections that live orders share, and that a cancel leaves alone."""
    return sorted({collection_id for other in order.live_linked for collection_id in other.collection_ids})


class MedusaPayments(Payments):
    """Writes cancellations, voids, captures and refunds as Medusa writes them."""

    def __init__(self, served: ServedProviders) -> None:
        self._served = served

    async def read_payment(self, conn: Connection, payment_id: str) -> Payment | None:
        row = await conn.fetchrow(_PAYMENT, payment_id)
        return None if row is None else self._served.payment(payment_of(row))

    async def cancel_payment(self, conn: Connection, payment: Payment) -> None:
        """Shut Medusa's Capture button for a hold that its own cancel failed to void. A captured payment is left alone,
        whatever was read before: the caller's locks make that certain, and the statement holds without them."""
        await conn.execute(_CANCEL_PAYMENT, payment.id)

    async def record_void(self, conn: Connection, payment: Payment, intent: Intent) -> None:
        """``payment.data`` is the answer of the void, as after Medusa's own. A captured payment is left alone."""
        await conn.execute(_RECORD_VOID, payment.id, intent.raw)

    async def record_session(self, conn: Connection, session: PaymentSession, intent: Intent) -> None:
        """``payment_session.data`` is Stripe's answer; a refund is noted in ``metadata``, left to others."""
        await conn.execute(_RECORD_SESSION, session.id, intent.raw)
        is_refunded = intent.amount_refunded > 0 or session.refunded > 0  # or was, and the refund failed later
        if intent.knows_refunds and is_refunded:
            received = unrounded(intent.amount_received, session.amount, intent.currency)
            refunded = given_back(intent.amount_refunded, received, intent.currency)
            await conn.execute(_NOTE_SESSION_REFUND, session.id, refunded)

    async def record_release(self, conn: Connection, payment: Payment, intent: Intent | None) -> None:
        """The void of a hold that an open order does not owe: payment and payment collection."""
        if intent is None:
            await conn.execute(_CANCEL_PAYMENT, payment.id)
        else:
            await conn.execute(_RECORD_VOID, payment.id, intent.raw)
        if payment.canceled_at is None:
            await conn.execute(_RELEASE_HOLD, payment.collection_id, payment.id)
            await conn.execute(_RECOUNT_COLLECTION, payment.collection_id, decimal_digits(payment.currency))

    async def record_capture(
        self, conn: Connection, order: Order, payment: Payment, intent: Intent | None
    ) -> str | None:
        """Capture row, payment, order_transaction, order_summary and payment_collection, whichever is missing.

        ``captured_at`` is set when no more is owed of the payment: what Stripe released with the capture, nobody can
        capture any more. Nothing is written when it is set already: then Medusa, its webhook or an earlier run of ours
        wrote all of it. A capture that orders share is one capture row for each of them, of its part.
        """
        if payment.captured_at is not None:
            return None
        if order.is_linked_elsewhere(payment):
            return await _record_shared_capture(conn, order, payment, intent)
        goal = _NOTHING if order.state is OrderState.CANCELED else share_of(order, payment)
        taken = _taken(payment, intent, goal)
        part = Part(order.id, order.version, taken - payment.captured)
        is_last = covers(max(taken, payment.captured), goal, payment.currency)
        return await _book_capture(conn, payment, part, intent, is_last=is_last)

    async def record_refund(self, conn: Connection, order: Order, payment: Payment, refunded: Decimal) -> str | None:
        """Write what the rows lack of ``refunded``: refund, order_transaction, order_summary, payment_collection.

        An order that shares the payment gets rows of its own, for its part. Return the first refund's id, or ``None``
        where nothing was lacking.
        """
        missing = refunded - payment.refunded
        if missing <= 0:
            return None
        parts = [Part(order.id, order.version, missing)]
        if order.is_linked_elsewhere(payment):
            parts = parts_of_refund(order, payment, missing)
        refund_ids = [await _book_refund(conn, payment, part) for part in parts]
        await conn.execute(_RECOUNT_COLLECTION, payment.collection_id, decimal_digits(payment.currency))
        return refund_ids[0]

    async def mend_capture(self, conn: Connection, order: Order, payment: Payment, *, abandoned: bool) -> None:
        """Put right what a capture of Medusa's did around a captured payment. Where all is well, nothing is written.

        Medusa sums up and books from what it has read, without a lock: what was written meanwhile, a refund of ours
        say, is gone from its sums. It also leaves ``canceled_at``, and then its admin refuses to refund. Transactions
        that it owes are written only when its capture is ``abandoned``, since it would write them a second time.
        """
        if abandoned and await conn.fetch(_UNBOOKED_CAPTURES, payment.id):
            await _book_capture(conn, payment, Part(order.id, order.version, _NOTHING), None, is_last=False)
        drift = await conn.fetchrow(_DRIFT, order.id, payment.id)
        if drift is None:
            return
        if drift["is_closed"]:
            await conn.execute(_REOPEN_PAYMENT, payment.id)
        if drift["collection_differs"]:
            await conn.execute(_RECOUNT_COLLECTION, payment.collection_id, decimal_digits(payment.currency))
        if drift["summary_differs"]:
            await conn.execute(_RECOUNT_SUMMARY, order.id, order.version)


async def _record_shared_capture(conn: Connection, order: Order, payment: Payment, intent: Intent | None) -> str | None:
    goal = share_of(order, payment) if order.state is not OrderState.CANCELED or order.sharing(payment) else _NOTHING
    taken = _taken(payment, intent, goal)
    parts = parts_of_capture(order, payment, taken - payment.captured) or [Part(order.id, order.version, _NOTHING)]
    is_last = covers(max(taken, payment.captured), goal, payment.currency)
    capture_ids = [
        await _book_capture(conn, payment, part, intent, is_last=is_last and part is parts[-1]) for part in parts
    ]
    return capture_ids[0]


async def _book_capture(conn: Connection, payment: Payment, part: Part, intent: Intent | None, *, is_last: bool) -> str:
    """Write the capture of a part, and what captures of the payment lack. Return the id of the capture."""
    capture_id = new_id("capt")
    if part.amount > 0:
        await conn.execute(_INSERT_CAPTURE, capture_id, part.amount, payment.id)
    await conn.execute(_MARK_CAPTURED, payment.id, is_last)
    if intent is not None:
        await conn.execute(_RECORD_INTENT, payment.id, intent.raw)
    await _book_transactions(conn, payment, part)
    if is_last:
        await conn.execute(_RELEASE_REST, payment.collection_id, payment.id, decimal_digits(payment.currency))
    await conn.execute(_RECOUNT_COLLECTION, payment.collection_id, decimal_digits(payment.currency))
    return capture_id


async def _book_transactions(conn: Connection, payment: Payment, part: Part) -> None:
    """Write the order_transaction of each capture of the payment that has none, and add them to the summary."""
    unbooked = await conn.fetch(_UNBOOKED_CAPTURES, payment.id)
    for row in unbooked:
        await conn.execute(
            _INSERT_TRANSACTION,
            new_id("ordtrx"),
            part.order_id,
            part.version,
            row["amount"],
            row["currency_code"],
            "capture",
            row["id"],
        )
    booked = sum((row["amount"] for row in unbooked), _NOTHING)
    if booked != 0:
        await conn.execute(_ADD_TO_SUMMARY, part.order_id, part.version, booked, _NOTHING)


async def _book_refund(conn: Connection, payment: Payment, part: Part) -> str:
    refund_id = new_id("ref")
    await conn.execute(_INSERT_REFUND, refund_id, part.amount, payment.id, "captured after the order was canceled")
    await conn.execute(
        _INSERT_TRANSACTION,
        new_id("ordtrx"),
        part.order_id,
        part.version,
        -part.amount,
        payment.currency,
        "refund",
        refund_id,
    )
    await conn.execute(_ADD_TO_SUMMARY, part.order_id, part.version, _NOTHING, part.amount)
    return refund_id


def _taken(payment: Payment, intent: Intent | None, share: Decimal) -> Decimal:
    """What was captured in all. Stripe's ``amount_received`` is believed, not the capture rows: Medusa's
    provider captures everything whatever amount was asked for. Where it is the rounded amount of the
    payment, or of the ``share`` that the order owes, the unrounded one is booked, as Medusa books it."""
    if intent is None:
        return max(share, payment.captured)
    for whole in (payment.amount, share):
        if intent.amount_received == to_minor_units(whole, payment.currency):
            return whole
    return from_minor_units(intent.amount_received, payment.currency)
