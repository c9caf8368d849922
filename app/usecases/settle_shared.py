"""Leave the money of a canceled order alone while live orders share it, and say so."""

from __future__ import annotations

import structlog

from app.domain.cancellation import HandOver
from app.domain.incidents import IncidentKind
from app.domain.intents import spell
from app.domain.money import to_minor_units
from app.domain.order import Order, PaymentState
from app.domain.owed import uncovered
from app.domain.shared import left_alone, unpaid_orders
from app.ports import Connection, Services
from app.store import incidents, jobs

log = structlog.get_logger()


async def settle_shared(services: Services, conn: Connection, order: Order) -> None:
    """Open or close the incident of what a canceled order shares with live ones, and leave its captures to them.

    A shared hold that is gone leaves the live orders unpaid: each has an incident. Safe to repeat.
    """
    if not order.linked:
        return
    detail = left_alone(order)
    if detail is None:
        await incidents.close(conn, order.id, IncidentKind.PAYMENT_SHARED)
    else:
        await incidents.open_(conn, order.id, IncidentKind.PAYMENT_SHARED, detail)
    await hand_over_captures(services, conn, order)
    for payment in order.payments:
        gone = payment.state is PaymentState.CANCELED or payment.refunded > 0
        if gone and order.sharing(payment):
            what = "refunded" if payment.refunded > 0 else "canceled"
            await raise_lost(
                conn, order, payment.id, f"{payment.id} is {what}, and {order.id} that shares it is canceled"
            )


async def hand_over_captures(services: Services, conn: Connection, order: Order) -> None:
    """Schedule the captures of a canceled order's shared holds for orders that are live."""
    needed = await hand_overs(services, conn, order)
    await jobs.hand_over_captures(conn, order.id, needed, origin=services.origin)


async def hand_overs(services: Services, conn: Connection, order: Order) -> tuple[HandOver, ...]:
    """Return which live order needs each shared hold, and when its capture is due: at the end of the last period."""
    needed = []
    for payment in order.payments:
        heirs = order.sharing(payment)
        if heirs and payment.state is PaymentState.HELD:
            live = [await services.orders.read_order(conn, heir.id) for heir in heirs]
            placed_at = max((heir.placed_at for heir in live if heir is not None), default=order.placed_at)
            due = placed_at + services.policy.grace_period + services.policy.capture_delay
            needed.append(HandOver(payment.id, heirs[0].id, max(due, order.read_at)))
    return tuple(needed)


async def raise_lost(conn: Connection, order: Order, payment_id: str, detail: str) -> bool:
    """Open the incident of a hold that is gone, where more is owed than other holds cover. Whether the order has one.

    So has each live order that shared the hold. A hold that Medusa voided with a confirmed edit is replaced by a new
    payment collection: the detail says so.
    """
    rest = uncovered(order)
    if not rest:
        log.info("payment.hold_gone", order_id=order.id, payment_id=payment_id)
        return False
    payment = order.payment(payment_id)
    owed = spell(to_minor_units(rest, order.currency), order.currency)
    shared = payment is not None and order.is_linked_elsewhere(payment)
    detail += f". No payment covers {owed} of what {'the orders that share it owe' if shared else 'it owes'}"
    if payment is not None and payment.collection_canceled and order.version > 1 and not shared:
        detail += (
            ". Medusa voided the hold when an edit of the order was confirmed: ask the shopper to pay the order's new "
            "payment collection (Medusa's admin copies its link), or cancel the order"
        )
    unpaid = unpaid_orders(order, payment) if payment is not None and shared else [order.id]
    for order_id in unpaid:
        await incidents.open_(conn, order_id, IncidentKind.AUTHORIZATION_LOST, detail)
    return order.id in unpaid
