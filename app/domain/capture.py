"""Whether a due capture is still wanted, and what an intent at Stripe says about one."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Final

import msgspec

from app.domain.order import Order, OrderState, Payment, PaymentState, Provider

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


class TakeMoney(msgspec.Struct, frozen=True):
    """Capture ``payment`` now."""

    payment: Payment


class Skip(msgspec.Struct, frozen=True):
    """Make no capture, for ``reason``."""

    reason: NotWanted


class WaitForMedusa(msgspec.Struct, frozen=True):
    """Medusa has a capture of its own in flight: look again shortly."""


CaptureDecision = TakeMoney | Skip | WaitForMedusa


def decide_capture(order: Order, payment_id: str) -> CaptureDecision:
    """Decide a due capture from facts read under the row locks, before any call to Stripe."""
    payment = order.payment(payment_id)
    if payment is None:
        return Skip(NotWanted.PAYMENT_GONE)
    match payment.state:
        case PaymentState.CAPTURED:
            return Skip(NotWanted.ALREADY_CAPTURED)
        case PaymentState.PARTIALLY_CAPTURED:
            return Skip(NotWanted.PARTIALLY_CAPTURED)
        case PaymentState.CAPTURE_IN_FLIGHT if not left_behind(order, payment):
            return WaitForMedusa()
        case _:
            pass
    if order.state is OrderState.CANCELED:
        return Skip(NotWanted.ORDER_CANCELED)
    if payment.state is PaymentState.CANCELED:
        return Skip(NotWanted.AUTHORIZATION_CANCELED)
    if payment.provider is Provider.OTHER:
        return Skip(NotWanted.UNSUPPORTED_PROVIDER)
    return TakeMoney(payment)


def refunds_settled(order: Order) -> bool:
    """Whether all that was captured was given back, by refund rows old enough not to be in flight any more."""
    return all(
        payment.refunded >= payment.taken
        and (payment.last_refunded_at is None or order.read_at - payment.last_refunded_at > MEDUSA_FINISHES_WITHIN)
        for payment in order.payments
    )


def left_behind(order: Order, payment: Payment) -> bool:
    """Whether a capture row of Medusa's has waited so long that its process must have died."""
    return payment.last_captured_at is not None and order.read_at - payment.last_captured_at > MEDUSA_FINISHES_WITHIN
