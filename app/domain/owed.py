"""What an order owes, and how far its payments cover it. All sums are compared in the smallest unit."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from app.domain.money import from_minor_units, smallest_step, to_minor_units
from app.domain.order import Order, OrderState, Payment, PaymentSession, PaymentState

_NOTHING: Final = Decimal(0)
_LIVE: Final = frozenset({PaymentState.HELD, PaymentState.CAPTURE_IN_FLIGHT})


_UNDER_WAY: Final = frozenset({"processing", "requires_action", "requires_capture"})
"""What Stripe calls an intent that the shopper has begun to pay; a payment page that was only opened covers nothing."""


def owes_nothing(order: Order) -> bool:
    """Whether nothing is left to be paid, once rounded to the smallest unit."""
    return to_minor_units(order.owed, order.currency) == 0


def kept_of(money: Payment | PaymentSession) -> Decimal:
    """Return what was taken of a payment or of a session and not refunded: late money on a canceled order."""
    return money.kept if isinstance(money, PaymentSession) else max(money.taken - money.refunded, _NOTHING)


def kept_money(order: Order) -> list[Payment | PaymentSession]:
    """Return the payments and sessions of which something was taken and not refunded, and that no live order shares."""
    return [money for money in order.money if kept_of(money) > 0 and not order.sharing(money)]


def share_of(order: Order, payment: Payment) -> Decimal:
    """What of ``payment`` the order owes in all, its own captures included: at most its amount, never below zero.

    The whole amount where no total is known.
    """
    if order.total is None:
        return payment.amount
    owed = order.total - order.received + payment.taken
    if to_minor_units(max(owed, _NOTHING), payment.currency) >= to_minor_units(payment.amount, payment.currency):
        return payment.amount
    return max(owed, _NOTHING)


def overpaid(order: Order) -> Decimal:
    """What was captured beyond the order's total and not refunded; nothing where rounding explains it."""
    if order.total is None:
        return _NOTHING
    captured = sum(money.taken > 0 for money in order.money)
    excess = to_minor_units(order.received, order.currency) - to_minor_units(order.total, order.currency)
    rounding = max(captured - 1, 0) * smallest_step(order.currency)
    return from_minor_units(excess, order.currency) if excess > rounding else _NOTHING


def uncovered(order: Order) -> Decimal:
    """What the order owes beyond its live holds and the sessions that are being paid: nothing will bring it.

    Of a canceled order, what the live orders owe that share payments with it.
    """
    others_alone = order.state is OrderState.CANCELED and order.live_linked
    covering = [payment for payment in order.payments if not others_alone or order.sharing(payment)]
    sessions = [session for session in order.sessions if not others_alone or order.sharing(session)]
    if order.total is None:
        lost = [payment for payment in covering if payment.state is PaymentState.CANCELED]
        alone = len(lost) == len(covering)
        return sum((payment.amount for payment in lost), _NOTHING) if alone else _NOTHING
    held = [payment.amount - payment.taken for payment in covering if payment.state in _LIVE]
    held += [other.held_elsewhere for other in order.live_linked]
    coming = [session.coming for session in sessions if session.intent_status in _UNDER_WAY]
    rest = max(order.owed - sum(held + coming, _NOTHING), _NOTHING)
    return rest if to_minor_units(rest, order.currency) > 0 else _NOTHING
