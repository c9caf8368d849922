"""Say to a person what a capture's sums leave open: too little, too much, given back, or of another currency."""

from __future__ import annotations

from decimal import Decimal

import structlog

from app.domain.incidents import IncidentKind
from app.domain.intents import Intent, in_words, is_in, is_kept, spell
from app.domain.money import given_back, to_minor_units
from app.domain.order import Order, OrderState, Payment
from app.domain.owed import kept_of, overpaid, share_of, uncovered
from app.ports import Connection, Event, Services
from app.store import incidents
from app.usecases.settle_canceled import raise_late_money
from app.usecases.tell_subscribers import tell_subscribers

log = structlog.get_logger()


async def record_taken(
    services: Services, conn: Connection, order: Order, payment: Payment, intent: Intent | None
) -> Order:
    """Make the rows say what was captured and given back, and open the incidents that the sums ask for.

    ``order`` is locked; gives it as it is afterwards. ``intent`` is ``None`` where no gateway holds the money. Sums of
    another currency than the payment's are named and never booked. Safe to repeat.
    """
    if intent is not None and not is_in(intent, payment.currency):
        if is_kept(intent):
            await _raise_foreign(conn, order, payment, intent)
        return order
    if order.state is not OrderState.CANCELED and intent is not None and _booked_otherwise(payment, intent):
        booked = spell(to_minor_units(payment.taken, payment.currency), payment.currency)
        detail = f"{payment.id}: Medusa's rows say {booked} captured. {in_words(intent)}: refund no more than that"
        await incidents.open_(conn, order.id, IncidentKind.PARTIAL_CAPTURE, detail)
        return order
    if capture_id := await services.payments.record_capture(conn, order, payment, intent):
        await tell_subscribers(services, conn, order.id, Event("payment.captured", payment.id, capture_id))
    after = await services.orders.read_order(conn, order.id) or order
    if intent is not None and intent.amount_refunded:
        after = await _record_given_back(services, conn, after, payment.id, intent)
    if order.state is OrderState.CANCELED:
        settled = after.payment(payment.id) or payment
        if kept_of(settled) > 0:
            await raise_late_money(services, conn, after, settled)
        return after
    await raise_overpaid(conn, after)
    if intent is not None and (rest := uncovered(after)) and _is_short(after, payment.id):
        owed = spell(to_minor_units(rest, order.currency), order.currency)
        detail = f"{payment.id}: {in_words(intent)}. The order still owes {owed}"
        await incidents.open_(conn, order.id, IncidentKind.PARTIAL_CAPTURE, detail)
    return after


def _booked_otherwise(payment: Payment, intent: Intent) -> bool:
    """Whether Medusa booked more than Stripe took: its provider takes "captured already" for all that it asked for."""
    booked = to_minor_units(payment.taken, payment.currency)
    return payment.captured_at is not None and booked > intent.amount_received


def _is_short(order: Order, payment_id: str) -> bool:
    """Whether the payment brought less than the order owes of it."""
    payment = order.payment(payment_id)
    if payment is None:
        return False
    kept = to_minor_units(payment.taken - payment.refunded, payment.currency)
    return kept < to_minor_units(share_of(order, payment), payment.currency)


async def raise_overpaid(conn: Connection, order: Order) -> None:
    """Open the incident of an open order from which more was captured than it owes."""
    excess = overpaid(order)
    if any(not other.is_live for other in order.linked):  # it has an incident of its own (``left_alone``)
        return
    if excess and order.total is not None and order.state is not OrderState.CANCELED:
        paid, total, too_much = (
            spell(to_minor_units(sum_, order.currency), order.currency)
            for sum_ in (order.received, order.total, excess)
        )
        detail = f"{paid} captured, the order comes to {total}: refund {too_much}"
        await incidents.open_(conn, order.id, IncidentKind.OVER_CAPTURED, detail)


async def _raise_foreign(conn: Connection, order: Order, payment: Payment, intent: Intent) -> None:
    detail = f"{payment.id} is of {payment.currency.upper()}, and {in_words(intent)}. Nothing was booked"
    kind = IncidentKind.LATE_MONEY if order.state is OrderState.CANCELED else IncidentKind.CAPTURE_FAILED
    await incidents.open_(conn, order.id, kind, detail)


async def _record_given_back(
    services: Services, conn: Connection, order: Order, payment_id: str, intent: Intent
) -> Order:
    payment = order.payment(payment_id)
    if payment is None:
        return order
    await record_given_back(services, conn, order, payment, intent)
    return await services.orders.read_order(conn, order.id) or order


async def record_given_back(
    services: Services, conn: Connection, order: Order, payment: Payment, intent: Intent
) -> Decimal:
    """Make the rows say what Stripe gave back in all, and publish it where they did not. How much that is."""
    refunded = given_back(intent.amount_refunded, payment.captured, payment.currency)
    if refund_id := await services.payments.record_refund(conn, order, payment, refunded):
        await tell_subscribers(services, conn, order.id, Event("payment.refunded", payment.id, refund_id))
    return refunded
