"""Whether a due capture is still wanted and how much it takes, and what rows say of captures in flight."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Final

import msgspec

from app.domain.money import to_minor_units
from app.domain.order import Order, OrderState, Payment, PaymentState, Provider
from app.domain.owed import kept_money, overpaid, share_of
from app.domain.rival_sessions import CannotCompare, SessionDecision, WaitForSession, judge_sessions

MEDUSA_FINISHES_WITHIN: Final = timedelta(minutes=5)
"""A capture row of Medusa's older than this, with captured_at still empty, was left behind by a crash; a refund
row older than this was accepted. Medusa waits 80 s for Stripe, three times."""


class NotWanted(StrEnum):
    """Why a due capture is not made."""

    ORDER_CANCELED = "order_canceled"
    ALREADY_CAPTURED = "already_captured"
    PAYMENT_GONE = "payment_gone"
    PARTIALLY_CAPTURED = "partially_captured"
    AUTHORIZATION_CANCELED = "authorization_canceled"
    UNSUPPORTED_PROVIDER = "unsupported_provider"
    NOTHING_OWED = "nothing_owed"
    """The order owes nothing any more: its hold is to be voided instead."""


class TakeMoney(msgspec.Struct, frozen=True):
    """Capture ``amount`` of ``payment`` now: all that the order owes of it, in major units and not rounded."""

    payment: Payment
    amount: Decimal


class Compare(msgspec.Struct, frozen=True):
    """Retrieve the intent of ``payment`` first: only Stripe knows what an earlier capture took."""

    payment: Payment


class Skip(msgspec.Struct, frozen=True):
    """Make no capture, for ``reason``."""

    reason: NotWanted


class WaitForMedusa(msgspec.Struct, frozen=True):
    """Medusa has a capture of its own in flight: look again shortly."""


class WaitForOther(msgspec.Struct, frozen=True):
    """Another capture of the order is in flight, and together they could take more than is owed: look again shortly."""


CaptureDecision = TakeMoney | Compare | Skip | WaitForMedusa | WaitForOther | SessionDecision


def decide_capture(
    order: Order, payment_id: str, *, in_doubt: bool = False, retrieved: Collection[str] = ()
) -> CaptureDecision:
    """Decide a due capture from facts read under the row locks, before any call to Stripe.

    ``in_doubt``: an earlier attempt may have reached Stripe. What it took counts first. ``retrieved``: ids of the
    sessions whose intents were just retrieved.
    """
    payment = order.payment(payment_id)
    if payment is None:
        return Skip(NotWanted.PAYMENT_GONE)
    decision = (
        _by_state(order, payment) or judge_sessions(order, payment, retrieved=retrieved) or _by_sums(order, payment)
    )
    asks_stripe = payment.provider is Provider.STRIPE and order.state is not OrderState.CANCELED
    match decision:
        case Skip(reason=NotWanted.PARTIALLY_CAPTURED) if order.state is not OrderState.CANCELED:
            share = share_of(order, payment)
            is_all = _reaches(payment.captured, share, payment.currency)
            if asks_stripe and (in_doubt or is_all):
                return Compare(payment)
            if payment.provider is Provider.SYSTEM and is_all:
                return TakeMoney(payment, max(share, payment.captured))
        case Skip(reason=NotWanted.NOTHING_OWED) | WaitForOther() | WaitForSession() | CannotCompare() if (
            asks_stripe and in_doubt
        ):
            return Compare(payment)
        case Skip(reason=NotWanted.ALREADY_CAPTURED) if asks_stripe and overpaid(order):
            # Medusa books the whole hold where Stripe had given us a part of it.
            return Compare(payment)
        case _:
            pass
    return decision


def _by_state(order: Order, payment: Payment) -> Skip | WaitForMedusa | None:
    """The decision that needs no sums; ``None`` for a hold that may be captured."""
    if payment.state is PaymentState.CAPTURED:
        return Skip(NotWanted.ALREADY_CAPTURED)
    if medusa_captures(order, payment):
        return WaitForMedusa()
    if payment.state is PaymentState.PARTIALLY_CAPTURED:
        return Skip(NotWanted.PARTIALLY_CAPTURED)
    if order.state is OrderState.CANCELED:
        return Skip(NotWanted.ORDER_CANCELED)
    if payment.state is PaymentState.CANCELED:
        return Skip(NotWanted.AUTHORIZATION_CANCELED)
    if payment.provider is Provider.OTHER:
        return Skip(NotWanted.UNSUPPORTED_PROVIDER)
    return None


def _by_sums(order: Order, payment: Payment) -> TakeMoney | Skip | WaitForOther:
    share, currency = share_of(order, payment), payment.currency
    others = [other for other in order.payments if other.id != payment.id and _is_in_flight(order, other)]
    if others and order.total is not None:
        # What Medusa's capture in flight takes is counted as paid already, and is owed again when Stripe refuses it.
        claimed = sum((other.amount - other.taken for other in others), Decimal(0))
        unclaimed = order.total - order.received + payment.taken - claimed
        if not _reaches(unclaimed, payment.amount, currency):
            return WaitForOther()
    return Skip(NotWanted.NOTHING_OWED) if to_minor_units(share, currency) == 0 else TakeMoney(payment, share)


def _is_in_flight(order: Order, payment: Payment) -> bool:
    """Whether a capture of ours or of Medusa's is under way whose outcome the rows do not say yet."""
    settled = payment.state in {PaymentState.CAPTURED, PaymentState.CANCELED}
    return not settled and (payment.is_capturing or medusa_captures(order, payment))


def _reaches(paid: Decimal, goal: Decimal, currency: str) -> bool:
    return to_minor_units(paid, currency) >= to_minor_units(goal, currency)


def refunds_settled(order: Order) -> bool:
    """Whether all that was captured was given back, by refund rows old enough not to be in flight any more.

    What live orders share with a canceled one is not to be given back.
    """
    return not kept_money(order) and all(
        payment.last_refunded_at is None or order.read_at - payment.last_refunded_at > MEDUSA_FINISHES_WITHIN
        for payment in order.own_payments
    )


def medusa_captures(order: Order, payment: Payment) -> bool:
    """Whether Medusa has a capture in flight: a row that waits for Stripe, or that it has not booked yet."""
    if payment.captured_at is not None or left_behind(order, payment):
        return False
    return payment.state is PaymentState.CAPTURE_IN_FLIGHT or payment.unbooked > 0


def left_behind(order: Order, payment: Payment) -> bool:
    """Whether a capture row of Medusa's has waited so long that its process must have died."""
    return payment.last_captured_at is not None and order.read_at - payment.last_captured_at > MEDUSA_FINISHES_WITHIN
