"""``decide_capture``: whether a due capture is still wanted."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from app.domain.capture import (
    MEDUSA_FINISHES_WITHIN,
    Compare,
    NotWanted,
    Skip,
    TakeMoney,
    WaitForMedusa,
    WaitForOther,
    decide_capture,
    left_behind,
    medusa_captures,
    refunds_settled,
)
from app.domain.order import Order, OrderState, Payment, Provider
from tests.domain import builders as a


@pytest.mark.parametrize("provider", [Provider.STRIPE, Provider.SYSTEM])
@pytest.mark.parametrize("state", [OrderState.OPEN, OrderState.COMPLETED])
def test_wanted(provider: Provider, state: OrderState) -> None:
    payment = a.held(provider=provider)
    assert decide_capture(a.order(payment, state=state), payment.id) == TakeMoney(payment, a.TEN)


def test_each_payment_is_judged_by_itself() -> None:
    first, second = a.captured(), a.held()
    assert decide_capture(a.order(first, second), second.id) == TakeMoney(second, a.TEN)
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
    assert met | {NotWanted.PAYMENT_GONE, NotWanted.NOTHING_OWED} == set(NotWanted)


class TestWhatIsOwed:
    """How much of a hold of ten a capture takes."""

    @pytest.mark.parametrize("in_doubt", [False, True])
    def test_all_or_a_part(self, *, in_doubt: bool) -> None:
        hold = a.held()
        for total, amount in (("10", "10"), ("25", "10"), ("7", "7"), ("0.005", "0.005")):
            decision = decide_capture(a.order(hold, total=Decimal(total)), hold.id, in_doubt=in_doubt)
            assert decision == TakeMoney(hold, Decimal(amount))

    @pytest.mark.parametrize("total", ["0", "-5", "0.004"])
    def test_nothing(self, total: str) -> None:
        hold = a.held()
        order = a.order(hold, total=Decimal(total))
        assert decide_capture(order, hold.id) == Skip(NotWanted.NOTHING_OWED)
        assert decide_capture(order, hold.id, in_doubt=True) == Compare(hold)

    def test_medusas_own_provider_is_never_asked(self) -> None:
        hold = a.held(provider=Provider.SYSTEM)
        order = a.order(hold, total=Decimal(0))
        assert decide_capture(order, hold.id, in_doubt=True) == Skip(NotWanted.NOTHING_OWED)

    @pytest.mark.parametrize(("provider", "decided"), [(Provider.STRIPE, Compare), (Provider.SYSTEM, TakeMoney)])
    def test_a_part_was_captured_and_that_is_all(self, provider: Provider, decided: type) -> None:
        part = a.partly_captured(provider=provider)
        order = a.order(part, total=Decimal(4), paid=Decimal(4))
        assert isinstance(decide_capture(order, part.id), decided)

    def test_a_part_was_captured_by_an_attempt_of_ours_perhaps(self) -> None:
        part = a.partly_captured()
        order = a.order(part, total=a.TEN, paid=Decimal(4))
        assert decide_capture(order, part.id) == Skip(NotWanted.PARTIALLY_CAPTURED)
        assert decide_capture(order, part.id, in_doubt=True) == Compare(part)

    def test_a_part_that_medusa_has_not_booked_is_waited_for(self) -> None:
        part = a.partly_captured(unbooked=Decimal(4))
        assert decide_capture(a.order(part, total=a.TEN, paid=Decimal(4)), part.id) == WaitForMedusa()

    @pytest.mark.parametrize("total", ["19.99", "10"])
    def test_beside_another_capture_nothing_is_guessed(self, total: str) -> None:
        hold, other = a.held(), a.held(is_capturing=True)
        order = a.order(hold, other, total=Decimal(total))
        assert decide_capture(order, hold.id) == WaitForOther()
        assert decide_capture(order, hold.id, in_doubt=True) == Compare(hold)

    def test_beside_another_capture_what_both_take_is_taken(self) -> None:
        hold, other = a.held(), a.held(is_capturing=True)
        assert decide_capture(a.order(hold, other, total=Decimal(20)), hold.id) == TakeMoney(hold, a.TEN)

    @pytest.mark.parametrize("other", [a.captured(is_capturing=True), a.canceled(is_capturing=True)])
    def test_what_has_ended_is_not_waited_for(self, other: Payment) -> None:
        hold = a.held()
        order = a.order(hold, other, total=other.taken + Decimal(3), paid=other.taken)
        assert decide_capture(order, hold.id) == TakeMoney(hold, Decimal(3))

    def test_medusas_capture_of_the_other_may_be_refused_yet(self) -> None:
        hold, other = a.held(), a.in_flight(unbooked=a.TEN)
        order = a.order(hold, other, total=Decimal(15), paid=a.TEN)
        assert decide_capture(order, hold.id) == WaitForOther()


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
        assert decide_capture(order, payment.id) == TakeMoney(payment, a.TEN)

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


class TestBesideOthers:
    """What another payment has brought, or Medusa has not booked, is counted once."""

    @pytest.mark.parametrize(("total", "waits"), [("20", False), ("19.99", True), ("25", False)])
    def test_of_one_that_is_captured_in_parts_only_the_rest_may_come(self, total: str, *, waits: bool) -> None:
        hold, other = a.held(), a.partly_captured(is_capturing=True)
        order = a.order(hold, other, total=Decimal(total), paid=Decimal(4))
        assert decide_capture(order, hold.id) == (WaitForOther() if waits else TakeMoney(hold, a.TEN))

    def test_medusas_own_provider_books_what_is_owed_and_no_less_than_it_has(self) -> None:
        part = a.partly_captured(provider=Provider.SYSTEM)
        order = a.order(part, total=Decimal(3), paid=Decimal(4))
        assert decide_capture(order, part.id) == TakeMoney(part, Decimal(4))
        rounded = a.order(part, total=Decimal("4.004"), paid=Decimal(4))
        assert decide_capture(rounded, part.id) == TakeMoney(part, Decimal("4.004"))

    @pytest.mark.parametrize(("total", "compares"), [("10", False), ("9.99", True), ("10.01", False)])
    def test_a_captured_payment_of_an_overpaid_order_is_compared(self, total: str, *, compares: bool) -> None:
        whole = a.captured()
        order = a.order(whole, total=Decimal(total), paid=a.TEN)
        expected = Compare(whole) if compares else Skip(NotWanted.ALREADY_CAPTURED)
        assert decide_capture(order, whole.id) == expected

    @pytest.mark.parametrize("facts", [{"provider": Provider.SYSTEM}, {"provider": Provider.OTHER}])
    def test_only_stripe_is_asked(self, facts: dict[str, Provider]) -> None:
        whole = a.captured(**facts)
        assert decide_capture(a.order(whole, total=Decimal(5), paid=a.TEN), whole.id) == Skip(
            NotWanted.ALREADY_CAPTURED
        )

    def test_of_a_canceled_order_nothing_is_compared(self) -> None:
        whole, part = a.captured(), a.partly_captured()
        facts = {"total": Decimal(5), "paid": Decimal(14), "state": OrderState.CANCELED}
        for payment in (whole, part):
            order = a.order(whole, part, **facts)
            assert isinstance(decide_capture(order, payment.id, in_doubt=True), Skip)

    def test_a_capture_that_is_over_is_not_medusas_any_more(self) -> None:
        whole, hold = a.captured(unbooked=a.TEN), a.held(unbooked=Decimal(1))
        assert not medusa_captures(a.order(whole), whole)
        assert medusa_captures(a.order(hold), hold)
        assert not medusa_captures(a.order(a.held()), a.held())

    @pytest.mark.parametrize(
        ("provider", "paid", "expected"),
        [
            (Provider.OTHER, "6", Skip),
            (Provider.SYSTEM, "0", Skip),  # six are owed yet: a person decides
            (Provider.SYSTEM, "6", TakeMoney),
            (Provider.STRIPE, "6", Compare),
        ],
    )
    def test_a_part_that_is_all_that_is_owed(self, provider: Provider, paid: str, expected: type) -> None:
        part = a.partly_captured(provider=provider)
        other = a.captured(captured=Decimal(6)) if paid == "6" else a.canceled()
        order = a.order(part, other, total=a.TEN, paid=Decimal(4) + Decimal(paid))
        assert isinstance(decide_capture(order, part.id), expected)

    def test_a_hold_does_not_wait_for_itself(self) -> None:
        """Its own job is running when it is decided."""
        hold = a.held(is_capturing=True)
        assert decide_capture(a.order(hold, total=Decimal(5)), hold.id) == TakeMoney(hold, Decimal(5))

    def test_a_hold_at_rest_is_not_waited_for(self) -> None:
        hold, other = a.held(), a.held()
        assert decide_capture(a.order(hold, other, total=Decimal(15)), hold.id) == TakeMoney(hold, a.TEN)

    def test_without_a_total_all_of_each_hold_is_taken(self) -> None:
        hold, other = a.held(), a.held(is_capturing=True)
        assert decide_capture(a.order(hold, other), hold.id) == TakeMoney(hold, a.TEN)

    @pytest.mark.parametrize(("total", "waits"), [("16", False), ("15.99", True)])
    def test_what_a_capture_row_left_behind_took_is_owed_of_this_hold(self, total: str, *, waits: bool) -> None:
        hold = a.in_flight(captured=Decimal(10), last_captured_at=a.PLACED_AT - timedelta(hours=1))
        other = a.held(amount=Decimal(6), is_capturing=True)
        order = a.order(hold, other, total=Decimal(total), paid=a.TEN)
        assert decide_capture(order, hold.id) == (WaitForOther() if waits else TakeMoney(hold, a.TEN))
