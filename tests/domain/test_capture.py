"""``decide_capture``: whether a due capture is still wanted."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from app.domain.capture import (
    MEDUSA_FINISHES_WITHIN,
    NotWanted,
    Skip,
    TakeMoney,
    WaitForMedusa,
    decide_capture,
    left_behind,
    refunds_settled,
)
from app.domain.order import Order, OrderState, Payment, Provider
from tests.domain import builders as a


@pytest.mark.parametrize("provider", [Provider.STRIPE, Provider.SYSTEM])
@pytest.mark.parametrize("state", [OrderState.OPEN, OrderState.COMPLETED])
def test_wanted(provider: Provider, state: OrderState) -> None:
    payment = a.held(provider=provider)
    assert decide_capture(a.order(payment, state=state), payment.id) == TakeMoney(payment)


def test_each_payment_is_judged_by_itself() -> None:
    first, second = a.captured(), a.held()
    assert decide_capture(a.order(first, second), second.id) == TakeMoney(second)
    assert decide_capture(a.order(first, second), first.id) == Skip(NotWanted.ALREADY_CAPTURED)


NOT_WANTED = {
    "order canceled": (a.held(), OrderState.CANCELED, NotWanted.ORDER_CANCELED),
    "order and payment canceled": (a.canceled(), OrderState.CANCELED, NotWanted.ORDER_CANCELED),
    "captured": (a.captured(), OrderState.OPEN, NotWanted.ALREADY_CAPTURED),
    "captured and canceled": (a.captured(), OrderState.CANCELED, NotWanted.ALREADY_CAPTURED),
    "captured elsewhere": (a.captured(provider=Provider.OTHER), OrderState.OPEN, NotWanted.ALREADY_CAPTURED),
    "partly captured": (a.partly_captured(), OrderState.OPEN, NotWanted.PARTIALLY_CAPTURED),
    "partly captured, canceled": (a.partly_captured(), OrderState.CANCELED, NotWanted.PARTIALLY_CAPTURED),
    "hold let go of": (a.canceled(), OrderState.OPEN, NotWanted.AUTHORIZATION_CANCELED),
    "foreign hold let go of": (a.canceled(provider=Provider.OTHER), OrderState.OPEN, NotWanted.AUTHORIZATION_CANCELED),
    "foreign hold": (a.held(provider=Provider.OTHER), OrderState.OPEN, NotWanted.UNSUPPORTED_PROVIDER),
    "foreign hold, canceled": (a.held(provider=Provider.OTHER), OrderState.CANCELED, NotWanted.ORDER_CANCELED),
}


@pytest.mark.parametrize(("payment", "state", "reason"), NOT_WANTED.values(), ids=NOT_WANTED.keys())
def test_not_wanted(payment: Payment, state: OrderState, reason: NotWanted) -> None:
    assert decide_capture(a.order(payment, state=state), payment.id) == Skip(reason)


def test_the_payment_is_gone() -> None:
    assert decide_capture(a.order(a.held()), "pay_of_another_order") == Skip(NotWanted.PAYMENT_GONE)


def test_every_reason_is_met() -> None:
    met = {reason for _, _, reason in NOT_WANTED.values()}
    assert met | {NotWanted.PAYMENT_GONE} == set(NotWanted)


class TestMedusaIsCapturing:
    """A capture row without ``captured_at``: Medusa waits for Stripe, or died while it did."""

    READ_AT = a.PLACED_AT + timedelta(hours=1)

    @pytest.mark.parametrize("state", [OrderState.OPEN, OrderState.CANCELED])
    @pytest.mark.parametrize("age", [timedelta(0), timedelta(seconds=59), MEDUSA_FINISHES_WITHIN])
    def test_wait(self, age: timedelta, state: OrderState) -> None:
        payment = a.in_flight(last_captured_at=self.READ_AT - age)
        order = a.order(payment, read_at=self.READ_AT, state=state)
        assert decide_capture(order, payment.id) == WaitForMedusa()
        assert not left_behind(order, payment)

    def test_left_behind(self) -> None:
        payment = a.in_flight(last_captured_at=self.READ_AT - MEDUSA_FINISHES_WITHIN - a.MICROSECOND)
        order = a.order(payment, read_at=self.READ_AT)
        assert left_behind(order, payment)
        assert decide_capture(order, payment.id) == TakeMoney(payment)

    def test_left_behind_on_a_canceled_order(self) -> None:
        payment = a.in_flight(last_captured_at=self.READ_AT - timedelta(hours=1))
        order = a.order(payment, read_at=self.READ_AT, state=OrderState.CANCELED)
        assert decide_capture(order, payment.id) == Skip(NotWanted.ORDER_CANCELED)

    def test_left_behind_with_a_foreign_provider(self) -> None:
        payment = a.in_flight(last_captured_at=self.READ_AT - timedelta(hours=1), provider=Provider.OTHER)
        order = a.order(payment, read_at=self.READ_AT)
        assert decide_capture(order, payment.id) == Skip(NotWanted.UNSUPPORTED_PROVIDER)

    def test_half_a_capture_is_never_waited_for(self) -> None:
        payment = a.partly_captured(last_captured_at=self.READ_AT)
        order = a.order(payment, read_at=self.READ_AT)
        assert decide_capture(order, payment.id) == Skip(NotWanted.PARTIALLY_CAPTURED)

    def test_no_row_is_nothing_left_behind(self) -> None:
        payment = a.held()
        assert not left_behind(a.order(payment, read_at=self.READ_AT), payment)


class TestRefundsAreSettled:
    """A refund row of Medusa's is there before Stripe is asked, and goes away when Stripe refuses."""

    READ_AT = a.PLACED_AT + timedelta(hours=1)
    OLD = READ_AT - MEDUSA_FINISHES_WITHIN - a.MICROSECOND

    def test_nothing_was_captured(self) -> None:
        assert refunds_settled(a.order(a.held(), a.canceled(), read_at=self.READ_AT))

    def test_given_back(self) -> None:
        assert refunds_settled(self._order(refunded=a.TEN, last_refunded_at=self.OLD))

    @pytest.mark.parametrize("age", [timedelta(0), timedelta(minutes=4), MEDUSA_FINISHES_WITHIN])
    def test_in_flight(self, age: timedelta) -> None:
        assert not refunds_settled(self._order(refunded=a.TEN, last_refunded_at=self.READ_AT - age))

    @pytest.mark.parametrize("refunded", [0, "9.99"])
    def test_not_all_of_it(self, refunded: str) -> None:
        assert not refunds_settled(self._order(refunded=Decimal(refunded), last_refunded_at=self.OLD))

    def test_the_youngest_of_several_payments_counts(self) -> None:
        old = a.captured(refunded=a.TEN, last_refunded_at=self.OLD)
        young = a.captured(refunded=a.TEN, last_refunded_at=self.READ_AT)
        assert not refunds_settled(a.order(old, young, read_at=self.READ_AT))

    def test_captured_without_a_row(self) -> None:
        """``captured_at`` says that all of it was taken."""
        assert not refunds_settled(self._order(captured=Decimal(0)))

    def _order(self, **facts: object) -> Order:
        return a.order(a.captured(**facts), read_at=self.READ_AT)
