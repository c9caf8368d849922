"""What a payment's rows, the jobs about it and Stripe's own word make one suspect, and what excuses it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

import msgspec

from app.domain.findings import Defect, Finding, IntentFacts
from app.domain.incidents import IncidentKind
from app.domain.jobs import JobKind, JobState
from app.domain.money import from_minor_units, to_minor_units
from app.domain.order import Payment, PaymentSession, PaymentState, Provider

HOLD_LASTS: Final = timedelta(days=7)
"""Stripe lets go of a card's hold after seven days: docs.stripe.com/payments/place-a-hold-on-a-payment-method"""
WARN_BEFORE: Final = timedelta(days=1)
NOTICED_WITHIN: Final = timedelta(minutes=5)
"""A new hold is noticed within a second, and within two minutes when its row came late."""
NOTICED_AT_REST: Final = timedelta(seconds=10)
JUST_NOW: Final = timedelta(minutes=1)
"""Medusa writes captures and refunds in several commits with a call to Stripe in between."""

_WORK: Final = frozenset({JobKind.CAPTURE, JobKind.VOID, JobKind.REFUND, JobKind.LOOK})
_LETTING_GO: Final = frozenset({IncidentKind.VOID_FAILED, IncidentKind.UNSUPPORTED_PROVIDER})
_GIVING_BACK: Final = frozenset(
    {
        IncidentKind.LATE_MONEY,
        IncidentKind.REFUND_FAILED,
        IncidentKind.VOID_FAILED,
        IncidentKind.UNSUPPORTED_PROVIDER,
    }
)
_TAKING: Final = frozenset(
    {
        IncidentKind.CAPTURE_FAILED,
        IncidentKind.AUTHORIZATION_LOST,
        IncidentKind.PARTIAL_CAPTURE,
        IncidentKind.UNSUPPORTED_PROVIDER,
    }
)
_COMPARING: Final = frozenset(
    {
        IncidentKind.PARTIAL_CAPTURE,
        IncidentKind.LATE_MONEY,
        IncidentKind.REFUND_FAILED,
        IncidentKind.CAPTURE_FAILED,
        IncidentKind.LOOK_FAILED,
    }
)


class ExaminedPayment(msgspec.Struct, frozen=True, kw_only=True):
    """A payment with what watches over it, in one snapshot."""

    order_id: str
    order_canceled: bool
    payment: Payment
    authorized_at: datetime
    touched_at: datetime
    """When the payment or one of its captures and refunds last changed."""
    let_go: bool | None
    """Whether Stripe's last recorded answer says that the hold is gone; ``None`` where none is recorded."""
    refunds: int
    paid_otherwise: bool
    """The order has another payment that is held or captured."""
    uncovered: Decimal | None = None
    """What the order owes beyond all its holds; ``None`` where no total is known."""
    is_left_to_others: bool = False
    """The order is canceled, and live orders share the payment."""
    has_part_of_shared: bool = False
    """Something of what is left to them is, or was, for the canceled order."""
    watched: bool
    """Made since this sidecar looks after payments."""
    capture_job: JobState | None
    at_work: frozenset[JobKind]
    """Kinds of the jobs about this payment that are due or have begun; of a canceled order all that wait."""
    incidents: frozenset[IncidentKind]
    """What is open for the order."""
    read_at: datetime


class Judgment(msgspec.Struct, frozen=True):
    """A suspicion, and which open incidents tell of it. ``excused`` when one does, or a job sees to it."""

    finding: Finding
    told_by: frozenset[IncidentKind]
    excused: bool


class _Suspicion(msgspec.Struct, frozen=True):
    defect: Defect
    detail: str
    amount: Decimal | None
    incidents: frozenset[IncidentKind] = frozenset()
    jobs: frozenset[JobKind] = frozenset()
    in_passing: bool = False
    """A short while of it is Medusa's ordinary way of writing."""
    job_is_dead: bool = False
    """Named as a dead job, so not once more."""


def judge(examined: ExaminedPayment, facts: IntentFacts | None, *, at_rest: bool) -> list[Judgment]:
    """All that may be wrong with one payment. ``at_rest`` takes no work in progress for an excuse."""
    judgments = []
    young = examined.read_at - examined.touched_at <= JUST_NOW
    for suspicion in _suspicions(examined, facts, at_rest=at_rest):
        told = suspicion.incidents & examined.incidents
        mended = not at_rest and bool(suspicion.jobs & examined.at_work or (suspicion.in_passing and young))
        finding = Finding(
            defect=suspicion.defect,
            order_id=examined.order_id,
            detail=f"{examined.payment.id}: {suspicion.detail}",
            amount=suspicion.amount,
            currency=examined.payment.currency,
        )
        judgments.append(Judgment(finding, told, bool(told) or mended or suspicion.job_is_dead))
    return judgments


def _suspicions(examined: ExaminedPayment, facts: IntentFacts | None, *, at_rest: bool) -> Iterator[_Suspicion]:
    if facts is not None:
        yield from _twice(facts, examined.refunds)
    if examined.is_left_to_others:
        if examined.has_part_of_shared:
            yield _left_to_others(examined.payment.amount)
    elif examined.order_canceled:
        yield from _of_canceled_order(examined, facts)
    else:
        yield from _of_open_order(examined, facts, at_rest=at_rest)


def _left_to_others(amount: Decimal) -> _Suspicion:
    detail = "an order that is not canceled shares it: nothing of it is voided or refunded"
    return _Suspicion(
        Defect.SHARED_PAYMENT, detail, amount, frozenset({IncidentKind.PAYMENT_SHARED}), _WORK, in_passing=True
    )


def _twice(facts: IntentFacts, refund_rows: int) -> Iterator[_Suspicion]:
    counted = (("captured", facts.captures, 1), ("voided", facts.voids, 1), ("refunded", facts.refunds, refund_rows))
    for verb, times, expected in counted:
        if times is not None and times > max(expected, 1):
            yield _Suspicion(Defect.DONE_TWICE, f"{verb} {times} times at Stripe", None)


class ExaminedSession(msgspec.Struct, frozen=True, kw_only=True):
    """A payment session without a payment, with what watches over it, in one snapshot."""

    order_id: str
    order_canceled: bool
    session: PaymentSession
    is_left_to_others: bool = False
    has_part_of_shared: bool = False
    touched_at: datetime
    """When the session or its order last changed."""
    at_work: frozenset[JobKind]
    """Kinds of the jobs about this session that are not over."""
    incidents: frozenset[IncidentKind]
    """What is open for the order."""
    read_at: datetime


def judge_session(examined: ExaminedSession, facts: IntentFacts | None, *, at_rest: bool) -> list[Judgment]:
    """All that may be wrong with one session. A moment ago canceled, its jobs are being made."""
    young = examined.read_at - examined.touched_at <= JUST_NOW
    judgments = []
    for suspicion in _session_suspicions(examined, facts):
        told = suspicion.incidents & examined.incidents
        finding = Finding(
            defect=suspicion.defect,
            order_id=examined.order_id,
            detail=f"{examined.session.id}: {suspicion.detail}",
            amount=suspicion.amount,
            currency=examined.session.currency,
        )
        mended = not at_rest and (young or bool(suspicion.jobs & examined.at_work))
        judgments.append(Judgment(finding, told, bool(told) or mended))
    return judgments


def _session_suspicions(examined: ExaminedSession, facts: IntentFacts | None) -> Iterator[_Suspicion]:
    session = examined.session
    kept = session.kept
    if facts is not None:
        yield from _twice(facts, 1)
        kept = from_minor_units(facts.received - facts.refunded, facts.currency or session.currency)
    if examined.is_left_to_others:
        if examined.has_part_of_shared:
            yield _left_to_others(session.amount)
    elif not examined.order_canceled:
        if facts is not None and kept > 0:
            detail = f"Stripe took {kept}, and the shop has made no payment of it"
            yield _Suspicion(Defect.CAPTURED_WITHOUT_ROWS, detail, kept, _COMPARING | _TAKING, _WORK)
    elif kept > 0:
        defect = Defect.CAPTURED_PAYMENT if facts is None else Defect.CAPTURED_AT_STRIPE
        yield _Suspicion(defect, f"{kept} paid and not given back", kept, _GIVING_BACK, _WORK)
    elif facts is not None and facts.state == "held":
        yield _Suspicion(Defect.HELD_AT_STRIPE, "Stripe still holds it", session.amount, _LETTING_GO, _WORK)
    elif session.is_open and (facts is None or facts.state == "other"):
        yield _Suspicion(Defect.LIVE_SESSION, "it can still be paid", session.amount, _LETTING_GO, _WORK)


def judge_stranger(intent_id: str, facts: IntentFacts) -> list[Finding]:
    """What is wrong with an intent that no payment row names."""
    found = [
        Finding(defect=suspicion.defect, order_id=None, detail=f"{intent_id}: {suspicion.detail}")
        for suspicion in _twice(facts, 0)
    ]
    net = facts.received - facts.refunded
    if net > 0:
        found.append(
            Finding(
                defect=Defect.CAPTURED_WITHOUT_ROWS,
                order_id=None,
                detail=f"{intent_id}: {net} (smallest unit) taken at Stripe, and no payment row names it",
                amount=None if facts.currency is None else from_minor_units(net, facts.currency),
                currency=facts.currency,
            )
        )
    return found


def _of_canceled_order(examined: ExaminedPayment, facts: IntentFacts | None) -> Iterator[_Suspicion]:
    payment = examined.payment
    owed = payment.captured - payment.refunded
    owes = to_minor_units(payment.captured, payment.currency) > to_minor_units(payment.refunded, payment.currency)
    held = payment.state is PaymentState.HELD or (payment.state is PaymentState.CANCELED and examined.let_go is False)
    if facts is None:
        if held:
            said = "held" if payment.canceled_at is None else "closed, but the void was never recorded"
            yield _Suspicion(Defect.LIVE_PAYMENT, f"the payment is {said}", payment.amount, _LETTING_GO, _WORK)
        elif owes and payment.captured_at is not None:
            yield _Suspicion(
                Defect.CAPTURED_PAYMENT, f"{payment.captured} captured, {payment.refunded} given back", owed,
                _GIVING_BACK, _WORK,
            )  # fmt: skip
        elif owes:
            yield _Suspicion(
                Defect.CAPTURE, f"{payment.captured} of {payment.amount} captured, {payment.refunded} given back", owed,
                _GIVING_BACK, _WORK, in_passing=True,
            )  # fmt: skip
        return
    net = from_minor_units(facts.received - facts.refunded, payment.currency)
    if facts.state == "held":
        yield _Suspicion(Defect.HELD_AT_STRIPE, "Stripe still holds it", payment.amount, _LETTING_GO, _WORK)
    elif facts.state == "canceled" and held:
        yield _Suspicion(Defect.LIVE_PAYMENT, "let go at Stripe, and the row does not say so", None, _LETTING_GO, _WORK)
    if net > 0:
        yield _Suspicion(Defect.CAPTURED_AT_STRIPE, f"Stripe keeps {net}", net, _GIVING_BACK, _WORK)
    if not (net > 0 and payment.captured == 0):
        yield from _sums(payment, facts)


def _of_open_order(examined: ExaminedPayment, facts: IntentFacts | None, *, at_rest: bool) -> Iterator[_Suspicion]:
    payment = examined.payment
    truth = facts.state if facts is not None else "held"
    if facts is not None and payment.captured == 0 and facts.received > 0:
        net = from_minor_units(facts.received - facts.refunded, payment.currency)
        detail = f"Stripe took {from_minor_units(facts.received, payment.currency)}, the rows know nothing of it"
        yield _Suspicion(Defect.CAPTURED_WITHOUT_ROWS, detail, net, _COMPARING | _TAKING, _WORK, in_passing=True)
        return
    dead = examined.capture_job is JobState.DEAD
    lost = facts is None and IncidentKind.AUTHORIZATION_LOST in examined.incidents
    match payment.state:
        case PaymentState.HELD | PaymentState.CANCELED if lost:
            yield _Suspicion(Defect.LOST_HOLD, "its hold is said to be lost", payment.amount, _TAKING)
        case PaymentState.HELD if truth == "canceled":
            detail = "let go at Stripe, and the rows still count on it"
            yield _Suspicion(Defect.LOST_HOLD, detail, payment.amount, _TAKING, _WORK)
        case PaymentState.HELD if truth == "held":
            if _forgotten(examined, at_rest=at_rest):
                detail = "held, and no job will capture it"
                jobs = frozenset({JobKind.VOID})  # of an open order that owes nothing of it
                yield _Suspicion(Defect.UNCAPTURED, detail, payment.amount, _TAKING, jobs, job_is_dead=dead)
            elif not at_rest:
                yield from _lapsing(examined)
        case PaymentState.CANCELED if truth == "held" and facts is not None:
            detail = "Stripe still holds it, and the row is canceled"
            yield _Suspicion(Defect.HELD_AT_STRIPE, detail, payment.amount, _TAKING | _LETTING_GO, _WORK)
        case PaymentState.CANCELED if _is_unpaid(examined) and _forgotten(examined, at_rest=at_rest):
            detail = "canceled, while the order is open"
            yield _Suspicion(Defect.UNCAPTURED, detail, payment.amount, _TAKING, job_is_dead=dead)
        case PaymentState.PARTIALLY_CAPTURED if _owes_more(examined) and _forgotten(examined, at_rest=at_rest):
            detail = f"{payment.captured} of {payment.amount} captured, and no job will capture the rest"
            rest = payment.amount - payment.captured
            yield _Suspicion(Defect.UNCAPTURED, detail, rest, _TAKING, job_is_dead=dead)
        case _:
            pass
    if facts is not None:
        yield from _sums(payment, facts)


def _owes_more(examined: ExaminedPayment) -> bool:
    """Whether the order owes more than its holds will bring, as far as is known."""
    return examined.uncovered is None or to_minor_units(examined.uncovered, examined.payment.currency) > 0


def _is_unpaid(examined: ExaminedPayment) -> bool:
    return _owes_more(examined) if examined.uncovered is not None else not examined.paid_otherwise


def _forgotten(examined: ExaminedPayment, *, at_rest: bool) -> bool:
    """Whether no job will come back to the payment."""
    match examined.capture_job:
        case JobState.DONE | JobState.REMOVED | JobState.DEAD:
            return True
        case None:
            patience = NOTICED_AT_REST if at_rest else NOTICED_WITHIN
            return examined.watched and examined.read_at - examined.authorized_at > patience
        case _:
            return False


def _lapsing(examined: ExaminedPayment) -> Iterator[_Suspicion]:
    age = examined.read_at - examined.authorized_at
    if examined.payment.provider is Provider.STRIPE and age > HOLD_LASTS - WARN_BEFORE:
        left = HOLD_LASTS - age
        hours = int(abs(left).total_seconds() // 3600)
        detail = f"the hold lapses in {hours} h" if left > timedelta(0) else f"the hold lapsed {hours} h ago"
        yield _Suspicion(Defect.HOLD_LAPSES, detail, examined.payment.amount, _TAKING, frozenset({JobKind.CAPTURE}))


def _sums(payment: Payment, facts: IntentFacts) -> Iterator[_Suspicion]:
    if payment.state is PaymentState.CAPTURE_IN_FLIGHT and facts.received == 0:
        return
    taken = to_minor_units(payment.captured, payment.currency)
    returned = to_minor_units(payment.refunded, payment.currency)
    if (taken, returned) != (facts.received, facts.refunded):
        detail = (
            f"the rows say {taken} taken and {returned} given back, "
            f"Stripe {facts.received} and {facts.refunded} (smallest unit)"
        )
        off = from_minor_units(abs((facts.received - facts.refunded) - (taken - returned)), payment.currency)
        yield _Suspicion(Defect.SUMS_DIFFER, detail, off, _COMPARING, _WORK, in_passing=True)
