"""Whether there is something to void: a hold or a session of a canceled order, or a hold that an open one owes not."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from app.domain.money import to_minor_units
from app.domain.order import Order, OrderState, Payment, PaymentSession, PaymentState, Provider
from app.domain.owed import share_of


class NotVoided(StrEnum):
    """Why a void job voids nothing."""

    GONE = "gone"
    SHARED = "shared"
    """Live orders need it."""
    REOPENED = "reopened"
    """A session, and its order is not canceled any more."""
    CAPTURED = "captured"
    OWED = "owed"
    """The order is open and owes it: it is to be captured instead."""
    NO_GATEWAY = "no_gateway"
    UNSUPPORTED_PROVIDER = "unsupported_provider"


class VoidHold(msgspec.Struct, frozen=True):
    """Void the hold of ``payment``. ``compare``: only retrieve its intent, since the rows of an open order call it
    canceled, and Stripe knows whether it is."""

    payment: Payment
    compare: bool = False


class VoidSession(msgspec.Struct, frozen=True):
    """Cancel the intent of ``session``, which no payment was made of."""

    session: PaymentSession


VoidDecision = VoidHold | VoidSession | NotVoided

_OVER: Final = frozenset({PaymentState.CAPTURED, PaymentState.CANCELED})


def decide_void(order: Order | None, subject: str) -> VoidDecision:
    """Decide from facts read under the row locks. A partial capture of a canceled order may have been given back: only
    Stripe knows. What a live order shares is not voided with a canceled one."""
    payment, session = (order.payment(subject), order.session(subject)) if order is not None else (None, None)
    if order is None or (payment is None and session is None):
        return NotVoided.GONE
    if is_left_to_others(order, subject):
        return NotVoided.SHARED
    if payment is None:
        assert session is not None
        return VoidSession(session) if order.state is OrderState.CANCELED else NotVoided.REOPENED
    is_stripes = payment.provider is Provider.STRIPE
    if order.state is OrderState.CANCELED:
        # The cancel itself calls it canceled in the rows, before Stripe is asked.
        is_voidable = needs_void(order, payment) or payment.state is PaymentState.CANCELED
        if not is_voidable or (payment.state is PaymentState.PARTIALLY_CAPTURED and not is_stripes):
            return NotVoided.CAPTURED
    elif payment.state is PaymentState.CANCELED and is_stripes:
        return VoidHold(payment, compare=True)
    elif payment.state is not PaymentState.HELD:
        return NotVoided.CAPTURED
    elif not is_not_owed(order, payment):
        return NotVoided.OWED
    if is_stripes:
        return VoidHold(payment)
    return NotVoided.NO_GATEWAY if payment.provider is Provider.SYSTEM else NotVoided.UNSUPPORTED_PROVIDER


def needs_void(order: Order, money: Payment | PaymentSession) -> bool:
    """Whether a canceled order, or one that is being canceled, leaves the payment or session to be voided.

    By the rows its money may still be taken, and no live order needs it. A capture row that a crash left behind, and a
    partial capture, count: Medusa's Stripe provider captures in full whatever was asked for, and only Stripe knows.
    """
    if order.sharing(money):
        return False
    return money.is_open if isinstance(money, PaymentSession) else money.state not in _OVER


def is_left_to_others(order: Order, subject: str) -> bool:
    """Whether live orders need the canceled order's payment or session: then no job voids or refunds it."""
    money = order.payment(subject) or order.session(subject)
    return order.state is OrderState.CANCELED and money is not None and bool(order.sharing(money))


def is_not_owed(order: Order, payment: Payment) -> bool:
    """Whether an open order owes nothing of a hold, and no capture of it is under way."""
    unused = payment.state is PaymentState.HELD and not payment.is_capturing
    return unused and to_minor_units(share_of(order, payment), payment.currency) == 0
