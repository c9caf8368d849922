"""When an incident that no job works on is over, as a rule on an order: each kind, each state that tells."""

from __future__ import annotations

from decimal import Decimal

import pytest

from app.domain.capture import MEDUSA_FINISHES_WITHIN
from app.domain.incidents import INCIDENT_OF, IncidentKind
from app.domain.order import Order, OrderState, Payment, Provider
from app.usecases.heal_incidents import _SETTLED
from app.usecases.retry_incident import JOB_OF, LOOKED_AT
from app.usecases.run_job import VERBS
from tests.domain import builders as a

K = IncidentKind
OLD = a.PLACED_AT - MEDUSA_FINISHES_WITHIN


def open_(*payments: Payment, total: str | None = "10", paid: str = "0", **facts: int) -> Order:
    return a.order(*payments, total=None if total is None else Decimal(total), paid=Decimal(paid), **facts)


def canceled(*payments: Payment, **facts: int) -> Order:
    return a.order(*payments, state=OrderState.CANCELED, total=a.TEN, **facts)


def other(payment: Payment) -> Payment:
    return Payment(
        **{name: getattr(payment, name) for name in payment.__struct_fields__} | {"provider": Provider.OTHER}
    )


GIVEN_BACK = a.captured(refunded=a.TEN, last_refunded_at=OLD)
PART_GIVEN_BACK = a.partly_captured(refunded=Decimal(4), last_refunded_at=OLD)
SHARED, NOT_SHARED_ANY_MORE = (
    a.order(
        a.held(amount=Decimal(20)),
        state=OrderState.CANCELED,
        own_total=a.TEN,
        total=a.TEN,
        linked=(a.linked(state=state),),
    )
    for state in (OrderState.OPEN, OrderState.CANCELED)
)

SETTLED: list[tuple[IncidentKind, Order, bool]] = [
    (K.LATE_MONEY, canceled(a.captured()), False),
    (K.LATE_MONEY, canceled(GIVEN_BACK), True),
    (K.LATE_MONEY, canceled(GIVEN_BACK, a.partly_captured()), False),
    (K.PARTIAL_CAPTURE, open_(a.partly_captured(), paid="4"), False),
    (K.PARTIAL_CAPTURE, open_(a.partly_captured(), a.held(), paid="4"), True),
    (K.PARTIAL_CAPTURE, open_(a.partly_captured(), total="4", paid="4"), True),
    (K.PARTIAL_CAPTURE, open_(a.partly_captured(), total="3.99", paid="4"), False),
    (K.PARTIAL_CAPTURE, canceled(a.partly_captured()), False),
    (K.PARTIAL_CAPTURE, canceled(PART_GIVEN_BACK), True),
    (K.OVER_CAPTURED, open_(a.captured(), total="7", paid="10"), False),
    (K.OVER_CAPTURED, open_(a.captured(), total="10", paid="10"), True),
    (K.OVER_CAPTURED, open_(a.captured(refunded=Decimal(3)), total="7", paid="7"), True),
    (K.OVER_CAPTURED, canceled(a.captured()), True),
    (K.CAPTURE_FAILED, open_(a.held()), False),
    (K.CAPTURE_FAILED, open_(a.held(), total="25"), False),
    (K.CAPTURE_FAILED, open_(a.captured(), paid="10"), True),
    (K.CAPTURE_FAILED, open_(a.held(), total="0"), True),
    (K.CAPTURE_FAILED, canceled(a.held()), True),
    (K.AUTHORIZATION_LOST, open_(a.canceled()), False),
    (K.AUTHORIZATION_LOST, open_(a.canceled(), a.held(amount=Decimal("9.99"))), False),
    (K.AUTHORIZATION_LOST, open_(a.canceled(), a.held()), True),
    (K.AUTHORIZATION_LOST, open_(a.canceled(), paid="10"), True),
    (K.AUTHORIZATION_LOST, canceled(a.canceled()), True),
    (K.PAYMENT_SHARED, SHARED, False),
    (K.PAYMENT_SHARED, NOT_SHARED_ANY_MORE, True),
    (K.FULFILLED, canceled(a.canceled(), live_fulfillments=1), False),
    (K.FULFILLED, canceled(a.canceled()), True),
    (K.FULFILLED, open_(a.held(), live_fulfillments=2), False),
    (K.UNSUPPORTED_PROVIDER, open_(other(a.held())), False),
    (K.UNSUPPORTED_PROVIDER, open_(other(a.held()), other(a.captured())), False),
    (K.UNSUPPORTED_PROVIDER, open_(other(a.captured()), other(a.canceled()), a.held()), True),
    (K.UNSUPPORTED_PROVIDER, canceled(other(a.held())), False),
    (K.UNSUPPORTED_PROVIDER, canceled(other(a.captured())), False),
    (K.UNSUPPORTED_PROVIDER, canceled(other(a.canceled())), False),
]


@pytest.mark.parametrize(("kind", "order", "over"), SETTLED)
def test_settled(kind: IncidentKind, order: Order, *, over: bool) -> None:
    assert _SETTLED[kind](order) is over


def test_each_kind_is_seen_both_ways() -> None:
    assert {(kind, over) for kind, _, over in SETTLED} == {(kind, over) for kind in _SETTLED for over in (True, False)}


def test_each_kind_ends_with_its_job_or_by_a_rule() -> None:
    """And each can be tried again by hand, or has nothing that could be tried."""
    assert set(INCIDENT_OF) == set(VERBS)
    assert {kind: job for job, kind in INCIDENT_OF.items()} == dict(JOB_OF)
    assert set(JOB_OF) | set(_SETTLED) == set(IncidentKind)
    assert set(IncidentKind) - set(JOB_OF) - LOOKED_AT == {K.FULFILLED, K.UNSUPPORTED_PROVIDER}
