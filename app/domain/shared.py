"""A payment collection that several orders are linked to: who needs it, what they come to, and whose part is whose."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

import msgspec

from app.domain.intents import spell
from app.domain.money import to_minor_units
from app.domain.order import LinkedOrder, Order, OrderState, Payment, PaymentSession, PaymentState
from app.domain.owed import overpaid

_NOTHING: Final = Decimal(0)
_OPEN: Final = frozenset({PaymentState.HELD, PaymentState.CAPTURE_IN_FLIGHT, PaymentState.PARTIALLY_CAPTURED})


class Part(msgspec.Struct, frozen=True):
    """What of a capture or a refund is one order's, in major units and not rounded."""

    order_id: str
    version: int
    amount: Decimal


def shared_sums(order: Order) -> tuple[Decimal | None, Decimal]:
    """Return what the live orders that share come to together, and what was paid for them less what was refunded.

    What was taken is what the payments say. Order transactions count too while all of the orders are live: Medusa books
    a refund on the canceled order, also of money that is booked on another.
    """
    alone = order.state is not OrderState.CANCELED
    totals = [order.own_total] * alone + [other.total for other in order.live_linked]
    total = sum((sum_ for sum_ in totals if sum_ is not None), _NOTHING)
    payments = [payment for payment in order.payments if alone or order.sharing(payment)]
    net = sum((payment.taken - payment.refunded for payment in payments), _NOTHING)
    net += sum((other.taken_elsewhere for other in order.live_linked), _NOTHING)
    if alone and len(order.live_linked) == len(order.linked):
        booked = order.booked + sum((other.booked for other in order.linked), _NOTHING)
        net = max(net, booked + sum((payment.unbooked for payment in payments), _NOTHING))
    return None if None in totals else total, net


def left_alone(order: Order) -> str | None:
    """Say what is neither voided nor refunded of a canceled order because live orders need it.

    ``None`` where nothing is left to be said: the order shares nothing with a live one, no part of it was this order's,
    or no more was captured than the others come to.
    """
    money_: list[Payment | PaymentSession] = [*order.payments, *order.sessions]
    shared = [money for money in money_ if order.sharing(money)]
    if order.state is not OrderState.CANCELED or not shared:
        return None
    excess = overpaid(order)
    open_ = [money.id for money in shared if _can_bring_money(money)]
    if not excess and not (open_ and order.has_part):
        return None
    others = sorted({other.id for money in shared for other in order.sharing(money)})
    detail = f"{', '.join(money.id for money in shared)}: of {', '.join(others)} too, not canceled. Nothing is voided"
    detail += " or refunded"
    if excess and order.total is not None:
        paid, total, too_much = (
            spell(to_minor_units(sum_, order.currency), order.currency)
            for sum_ in (order.received, order.total, excess)
        )
        detail += f". {paid} captured, the other orders come to {total}: refund {too_much}"
    return detail


def unpaid_orders(order: Order, payment: Payment) -> list[str]:
    """The live orders that a lost ``payment`` leaves unpaid.

    By what each owes by its own rows; with a canceled order among those that share, by what each comes to, since a
    refund can be booked on another order than its capture.
    """
    members = [one for one in _members(order, payment) if one.is_live]
    by_total = any(not other.is_live for other in order.linked) or order.state is OrderState.CANCELED
    sums = [(one.id, one.total if by_total else one.owed) for one in members]
    return [order_id for order_id, sum_ in sums if sum_ is None or to_minor_units(sum_, order.currency) > 0]


def own_owed(order: Order) -> Decimal | None:
    """What an order that shares still owes by its own rows; ``None`` where its total is not known."""
    return None if order.own_total is None else max(order.own_total - order.booked, _NOTHING)


def parts_of_capture(order: Order, payment: Payment, amount: Decimal) -> list[Part]:
    """Divide what was captured among the live orders, or all where none is, by what each owes.

    Orders with a lower id come first. What is beyond that is a canceled order's, where one shares the payment: late
    money.
    """
    members = _members(order, payment)
    live = [one for one in members if one.is_live]
    rest_of = next((one for one in members if not one.is_live), members[-1])
    return _divide([(one, one.owed) for one in live or members], amount, rest_of)


def parts_of_refund(order: Order, payment: Payment, amount: Decimal) -> list[Part]:
    """Divide what was refunded by what is booked on each order: canceled orders first, ``order`` before the others."""
    members = sorted(_members(order, payment), key=lambda one: (one.is_live, one.id != order.id, one.id))
    wanted = [(one, max(one.booked, _NOTHING)) for one in members]
    return _divide(wanted, amount, next(one for one in members if one.id == order.id))


def _divide(wanted: Sequence[tuple[LinkedOrder, Decimal | None]], amount: Decimal, rest_of: LinkedOrder) -> list[Part]:
    sums: dict[str, Decimal] = {}
    rest = amount
    for one, sum_ in wanted:
        sums[one.id] = rest if sum_ is None else min(sum_, rest)
        rest -= sums[one.id]
    sums[rest_of.id] = sums.get(rest_of.id, _NOTHING) + rest
    members = {one.id: one for one, _ in wanted} | {rest_of.id: rest_of}
    return [Part(one.id, one.version, sums[one.id]) for one in members.values() if sums[one.id] > 0]


def _members(order: Order, payment: Payment) -> list[LinkedOrder]:
    """The orders that share the payment, ``order`` among them, in the order of their ids."""
    this = LinkedOrder(
        id=order.id,
        collection_ids=frozenset({payment.collection_id}),
        state=order.state,
        version=order.version,
        total=order.own_total,
        booked=order.booked,
    )
    others = [other for other in order.linked if payment.collection_id in other.collection_ids]
    return sorted([this, *others], key=lambda one: one.id)


def _can_bring_money(money: Payment | PaymentSession) -> bool:
    if isinstance(money, Payment):
        return money.state in _OPEN
    return money.is_open or money.kept > 0
