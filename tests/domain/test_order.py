"""Where a payment stands, by its rows."""

from __future__ import annotations

from decimal import Decimal

import pytest

from app.domain.order import Payment, PaymentState
from tests.domain import builders as a

STATES = {
    "nothing happened": (a.held(), PaymentState.HELD),
    "let go of": (a.canceled(), PaymentState.CANCELED),
    "capture row, nothing more": (a.in_flight(), PaymentState.CAPTURE_IN_FLIGHT),
    "capture row on a canceled payment": (a.in_flight(canceled_at=a.PLACED_AT), PaymentState.CAPTURE_IN_FLIGHT),
    "half a capture": (a.partly_captured(), PaymentState.PARTIALLY_CAPTURED),
    "half on a canceled payment": (a.partly_captured(canceled_at=a.PLACED_AT), PaymentState.PARTIALLY_CAPTURED),
    "captured": (a.captured(), PaymentState.CAPTURED),
    "captured without a capture row": (a.payment(captured_at=a.PLACED_AT), PaymentState.CAPTURED),
    "captured and canceled": (a.captured(canceled_at=a.PLACED_AT), PaymentState.CAPTURED),
    "refunded": (a.captured(refunded=a.TEN), PaymentState.CAPTURED),
    "unrounded total, rounded capture": (
        a.in_flight(amount=Decimal("29.7381"), captured=Decimal("29.74")),
        PaymentState.CAPTURE_IN_FLIGHT,
    ),
    "more than the amount": (a.in_flight(captured=Decimal(11)), PaymentState.CAPTURE_IN_FLIGHT),
}


@pytest.mark.parametrize(("payment", "state"), STATES.values(), ids=STATES.keys())
def test_payment_state(payment: Payment, state: PaymentState) -> None:
    assert payment.state is state


def test_every_state_is_met() -> None:
    assert {state for _, state in STATES.values()} == set(PaymentState)


def test_payment_by_id() -> None:
    first, second = a.held(), a.held()
    order = a.order(first, second)
    assert order.payment(second.id) == second
    assert order.payment("pay_unknown") is None
