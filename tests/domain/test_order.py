"""Where a payment stands, by its rows."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from app.domain.order import Order, OrderState, Payment, PaymentSession, PaymentState
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


@pytest.mark.parametrize(
    ("payment", "is_open"),
    [
        (a.held(), True),
        (a.in_flight(), True),
        (a.canceled(), False),
        (a.captured(), False),
        (a.partly_captured(), True),
    ],
)
def test_a_payment_is_open_until_it_is_captured_or_canceled(payment: Payment, *, is_open: bool) -> None:
    assert payment.is_open is is_open


@pytest.mark.parametrize(
    ("payment", "taken"),
    [
        (a.held(), "0"),
        (a.partly_captured(), "4"),
        (a.captured(), "10"),
        (a.captured(captured=Decimal(7)), "7"),
        (a.payment(captured_at=a.PLACED_AT), "10"),
    ],
)
def test_what_was_taken_of_a_payment(payment: Payment, taken: str) -> None:
    assert payment.taken == Decimal(taken)


@pytest.mark.parametrize(
    ("session", "processing"),
    [
        (a.session("processing"), True),
        (a.session("processing", received=Decimal(1)), False),
        (a.session("requires_action"), False),
        (a.session("canceled"), False),
        (a.session("succeeded", received=Decimal(0)), False),
    ],
)
def test_a_bank_decides_while_it_processes(session: PaymentSession, *, processing: bool) -> None:
    assert session.is_processing is processing


def test_nothing_is_assumed_of_money() -> None:
    payment, session, other, order = a.held(), a.session(), a.linked(), a.order()
    for sum_ in (payment.captured, payment.refunded, payment.unbooked, session.refunded, order.paid, order.booked):
        assert sum_ == 0
    for sum_ in (other.booked, other.taken_elsewhere, other.held_elsewhere):
        assert sum_ == 0
    assert session.received is None
    assert (payment.is_capturing, payment.collection_canceled) == (False, False)
    assert (order.live_fulfillments, order.open_changes) == (0, 0)
    assert (order.payment_known, order.money_in_cart) == (True, False)


CANCELED = OrderState.CANCELED
FOREIGN = {"collection_id": "pay_col_2"}


@pytest.mark.parametrize(
    ("facts", "received"),
    [
        ({}, "15"),
        ({"state": CANCELED}, "15"),
        ({"linked": (a.linked(),)}, "15"),
        ({"linked": (a.linked(),), "state": CANCELED}, "9"),  # what only the canceled order has is not the others'
        ({"linked": (a.linked(state=CANCELED),), "state": CANCELED}, "15"),
    ],
)
def test_what_sessions_brought_counts_for_who_shares_them(facts: dict[str, Any], received: str) -> None:
    sessions = (
        a.session("succeeded", amount=Decimal(4)),
        a.session("succeeded", amount=Decimal(6), **FOREIGN),
        a.session("succeeded", currency="usd"),
        a.session("canceled"),
    )
    assert a.order(sessions=sessions, paid=Decimal(5), **facts).received == Decimal(received)


def sharing(**facts: Any) -> Order:
    """An order of two collections, the first shared with a live order and the second with a canceled one."""
    canceled = a.linked(id="order_3", state=CANCELED, collection_ids=frozenset({"pay_col_2"}))
    return a.order(linked=(a.linked(), canceled), **facts)


def test_who_needs_money_too() -> None:
    order = sharing()
    first, second, third = a.held(), a.held(**FOREIGN), a.session(collection_id="pay_col_3")
    assert [len(order.sharing(money)) for money in (first, second, third)] == [1, 0, 0]
    assert [order.is_linked_elsewhere(money) for money in (first, second, third)] == [True, True, False]
    assert [other.id for other in order.live_linked] == ["order_2"]


@pytest.mark.parametrize(
    ("own_total", "booked", "has_part"),
    [
        (None, "0", True),
        ("0.5", "0", True),
        ("0", "0", False),
        ("0", "0.5", True),
        ("0", "-1", False),
        ("-1", "0", False),
    ],
)
def test_an_order_has_a_part_of_what_it_owes_or_paid(own_total: str | None, booked: str, *, has_part: bool) -> None:
    total = None if own_total is None else Decimal(own_total)
    assert sharing(own_total=total, booked=Decimal(booked)).has_part is has_part


@pytest.mark.parametrize(("booked", "owed"), [("0", "10"), ("4", "6"), ("10", "0"), ("12", "0"), ("-2", "12")])
def test_what_another_order_owes_by_its_own_rows(booked: str, owed: str) -> None:
    assert a.linked(booked=Decimal(booked)).owed == Decimal(owed)
    assert a.linked(total=None).owed is None
