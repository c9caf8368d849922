"""Whether an order may be canceled, and what its cancellation did to the money."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from app.domain.intents import Standing
from app.domain.jobs import Job, JobKind, JobState
from app.domain.money import covers, to_minor_units
from app.domain.order import Order, OrderState, PaymentSession, PaymentState
from app.domain.shared import own_owed


class Refusal(StrEnum):
    """Why a cancel was refused. A refusal changes nothing."""

    COMPLETED = "completed"
    CAPTURED = "captured"
    FULFILLED = "fulfilled"
    PARTIAL_CAPTURE = "partial_capture"
    CAPTURE_IN_FLIGHT = "capture_in_flight"
    GRACE_PERIOD_OVER = "grace_period_over"
    ORDER_CHANGE_PENDING = "order_change_pending"
    PAYMENT_UNKNOWN = "payment_unknown"


class PaymentAction(StrEnum):
    """What became of the holds of a canceled order, as far as is known."""

    VOIDED = "voided"
    VOID_PENDING = "void_pending"
    VOID_FAILED = "void_failed"
    NONE = "none"


class Cancel(msgspec.Struct, frozen=True):
    """The order may be canceled now."""


class AlreadyCanceled(msgspec.Struct, frozen=True):
    """Somebody canceled the order before: this sidecar or Medusa itself."""


class Refused(msgspec.Struct, frozen=True):
    """The order may not be canceled, for ``reason``."""

    reason: Refusal


class HandOver(msgspec.Struct, frozen=True):
    """The capture of a shared hold, which ``order_id`` needs, due at the end of that order's grace period."""

    payment_id: str
    order_id: str
    due: datetime


class NewCancellation(msgspec.Struct, frozen=True, kw_only=True):
    """What is written down of a cancellation of ours."""

    canceled_by: str
    reason: str | None
    reason_label: str | None
    request_id: str
    traceparent: str | None = None
    jobs: tuple[tuple[JobKind, str], ...]
    """Kind and subject of what is left to be done, due now."""
    hand_overs: tuple[HandOver, ...] = ()


Decision = Cancel | AlreadyCanceled | Refused


def cancelable_until(order: Order, grace_period: timedelta) -> datetime:
    """The end of the order's grace period. A request received at this very moment is too late."""
    return order.placed_at + grace_period


def decide_cancel(order: Order, *, received_at: datetime, grace_period: timedelta) -> Decision:
    """Decide a cancel from one read of the order, without a lock.

    ``Orders.cancel_if_unchanged`` writes a yes only if, behind the locks, the order still is as it was read. What
    tells the shopper most comes first: a captured order is "processed" even when the grace period is over as well.
    """
    if order.state is OrderState.CANCELED:
        return AlreadyCanceled()
    if order.state is OrderState.COMPLETED:
        return Refused(Refusal.COMPLETED)
    payments, sessions = (
        (order.payments, order.sessions) if order.has_part else (order.own_payments, order.own_sessions)
    )
    others = {payment.id for payment in order.payments}.difference(payment.id for payment in payments)
    states = {payment.state for payment in payments}
    paid = any(session.is_paid for session in sessions)
    taken = paid or states & {PaymentState.CAPTURED, PaymentState.PARTIALLY_CAPTURED}
    partly = any(session.standing is Standing.PARTLY_TAKEN for session in sessions)
    in_part = partly or PaymentState.PARTIALLY_CAPTURED in states
    if in_part or (taken and states & {PaymentState.HELD}):
        return Refused(Refusal.PARTIAL_CAPTURE)
    if taken:
        return Refused(Refusal.CAPTURED)
    if order.live_fulfillments:
        return Refused(Refusal.FULFILLED)
    if PaymentState.CAPTURE_IN_FLIGHT in states or order.captures_in_flight - others:
        return Refused(Refusal.CAPTURE_IN_FLIGHT)
    if received_at >= cancelable_until(order, grace_period):
        return Refused(Refusal.GRACE_PERIOD_OVER)
    if order.open_changes:
        return Refused(Refusal.ORDER_CHANGE_PENDING)
    if _is_payment_unknown(order):
        return Refused(Refusal.PAYMENT_UNKNOWN)
    return Cancel()


def _is_payment_unknown(order: Order) -> bool:
    """Whether the order owes money and its own links do not lead to who pays it.

    Marketplaces split a cart's order into several that are linked to no payment collection. A hold that lapsed or was
    canceled is known: the order can be canceled. A hold that a live order shares is not: its void would leave that one
    unpaid.
    """
    owed = own_owed(order) if order.linked else order.owed
    if owed is not None and to_minor_units(owed, order.currency) <= 0:
        return False
    shared = any(order.sharing(payment) and payment.state is PaymentState.HELD for payment in order.payments)
    shared |= any(order.sharing(session) and session.is_open for session in order.sessions)
    if shared or not order.payment_known:
        return True
    return order.money_in_cart and not covers(order.live, order.owed if owed is None else owed, order.currency)


def payment_action(order: Order, voids: Iterable[Job], *, trouble: bool) -> PaymentAction:
    """What to tell the shopper about the money of a canceled order.

    ``voids`` are the order's void jobs, ``trouble`` says that an incident about its money is open.
    Payments without a void job were canceled by Medusa, and are judged by their rows. The job of a session stands for
    the payment that was made of it since. What live orders share is theirs, and not this order's any more.
    """
    by_subject = {job.subject: job for job in voids}
    if trouble or any(job.state is JobState.DEAD for job in by_subject.values()):
        return PaymentAction.VOID_FAILED
    states = [
        _void_state(payment.state, by_subject.get(payment.id) or by_subject.get(payment.session_id or ""))
        for payment in order.own_payments
    ]
    states += [_session_state(session, by_subject.get(session.id)) for session in order.own_sessions]
    for worst in (PaymentAction.VOID_FAILED, PaymentAction.VOID_PENDING, PaymentAction.VOIDED):
        if worst in states:
            return worst
    return PaymentAction.NONE


def _void_state(state: PaymentState, job: Job | None) -> PaymentAction:
    if job is not None and job.state is not JobState.DONE:
        return PaymentAction.VOID_PENDING
    match state:
        case PaymentState.CANCELED:
            return PaymentAction.VOIDED
        case PaymentState.HELD:
            return PaymentAction.VOID_PENDING
        case PaymentState.CAPTURED | PaymentState.PARTIALLY_CAPTURED | PaymentState.CAPTURE_IN_FLIGHT:
            return PaymentAction.NONE


def _session_state(session: PaymentSession, job: Job | None) -> PaymentAction:
    if session.is_open or (job is not None and job.state is not JobState.DONE):
        return PaymentAction.VOID_PENDING
    released = session.standing is Standing.RELEASED and job is not None
    return PaymentAction.VOIDED if released else PaymentAction.NONE
