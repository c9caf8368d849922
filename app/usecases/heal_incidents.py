"""Close incidents that people settled with their own hands, in Medusa's admin."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from app.domain.capture import refunds_settled
from app.domain.incidents import IncidentKind
from app.domain.order import Order, OrderState, PaymentState, Provider
from app.domain.owed import kept_money, overpaid, owes_nothing, uncovered
from app.domain.shared import left_alone
from app.ports import Connection, Services
from app.store import incidents
from app.usecases.one_by_one import one_by_one
from app.usecases.settle_canceled import settle_canceled


async def heal_incidents(services: Services) -> None:
    """Look at open incidents that no job of ours works on, and close those that are settled.

    The money of a canceled order is seen to first, so that a change of ``LATE_MONEY`` reaches old incidents too.
    """
    for kind, settled in _SETTLED.items():
        async with services.db.transaction("heal.list") as conn:
            order_ids = await incidents.some_orders_with(conn, kind)
        await one_by_one(services, "heal", order_ids, partial(_heal, services, kind, settled))


async def _heal(
    services: Services, kind: IncidentKind, settled: Callable[[Order], bool], conn: Connection, order: Order
) -> None:
    if order.state is OrderState.CANCELED:
        await settle_canceled(services, conn, order)
    if settled(order):
        await incidents.close(conn, order.id, kind)


async def close_late_money_if_settled(conn: Connection, order: Order) -> None:
    """Close the incident when nothing captured is left ungiven on the canceled order, as Stripe has just said."""
    if not kept_money(order):
        await incidents.close(conn, order.id, IncidentKind.LATE_MONEY)


async def close_refunded(services: Services, conn: Connection, order_id: str) -> None:
    """Close the late money of an order after a refund, and that of canceled orders that share its payments."""
    order = await services.orders.read_order(conn, order_id)
    shared = () if order is None else (other.id for other in order.linked if not other.is_live)
    for canceled in (order, *[await services.orders.read_order(conn, other_id) for other_id in shared]):
        if canceled is not None:
            await close_late_money_if_settled(conn, canceled)


def _decided(order: Order) -> bool:
    """The order owes no more than its holds cover; or what was captured is late money now, or given back."""
    return refunds_settled(order) if order.state is OrderState.CANCELED else not (uncovered(order) or overpaid(order))


def _is_not_late(order: Order) -> bool:
    """All was refunded, or the order was opened again: what it owes is its own money then.

    Rows that tell of no money prove no refund: money of another currency is never booked.
    """
    if order.state is not OrderState.CANCELED:
        return True
    return refunds_settled(order) and any(money.taken > 0 for money in order.money)


def _paid_or_canceled(order: Order) -> bool:
    """The order owes no more than its holds cover, or nobody has to pay any more."""
    return order.state is OrderState.CANCELED or not uncovered(order)


def _given_back(order: Order) -> bool:
    """No more is captured than the order comes to; of a canceled one, it is late money, with an incident of its own."""
    return order.state is OrderState.CANCELED or not overpaid(order)


def _paid_by_another(order: Order) -> bool:
    """Nothing is owed any more, whatever became of the payment that could not be captured."""
    return order.state is OrderState.CANCELED or owes_nothing(order)


def _divided(order: Order) -> bool:
    """No live order needs what the canceled one shares any more, or nothing of it is left to be decided."""
    return left_alone(order) is None


def _unpacked(order: Order) -> bool:
    return order.live_fulfillments == 0


def _served(order: Order) -> bool:
    """Whoever serves the other provider has captured or canceled; on a canceled order only a person knows."""
    others = [payment for payment in order.payments if payment.provider is Provider.OTHER]
    return order.state is not OrderState.CANCELED and all(payment.state is not PaymentState.HELD for payment in others)


_SETTLED: Final[Mapping[IncidentKind, Callable[[Order], bool]]] = {
    IncidentKind.LATE_MONEY: _is_not_late,
    IncidentKind.PARTIAL_CAPTURE: _decided,
    IncidentKind.OVER_CAPTURED: _given_back,
    IncidentKind.CAPTURE_FAILED: _paid_by_another,
    IncidentKind.AUTHORIZATION_LOST: _paid_or_canceled,
    IncidentKind.PAYMENT_SHARED: _divided,
    IncidentKind.FULFILLED: _unpacked,
    IncidentKind.UNSUPPORTED_PROVIDER: _served,
}
