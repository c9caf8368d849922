"""What an order owes, and how far its payments cover it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from app.domain.order import Order, OrderState, Payment, PaymentSession, Provider
from app.domain.owed import kept_money, kept_of, overpaid, owes_nothing, share_of, uncovered
from tests.domain import builders as a

NOTHING = Decimal(0)


def of_eur(total: str | None, paid: str, *payments: Payment, currency: str = "eur") -> Order:
    return a.order(*payments, total=None if total is None else Decimal(total), paid=Decimal(paid), currency=currency)


def session(status: str) -> PaymentSession:
    return PaymentSession(
        id="payses_1",
        collection_id="pay_col_1",
        provider=Provider.STRIPE,
        provider_id="pp_stripe_stripe",
        currency="eur",
        amount=a.TEN,
        intent_id="pi_1",
        intent_status=status,
    )


@pytest.mark.parametrize(
    ("total", "paid", "share"),
    [
        ("10", "0", "10"),
        ("12", "0", "10"),
        ("7", "0", "7"),
        ("7", "2", "5"),
        ("7", "7", "0"),
        ("7", "9", "0"),
        ("9.9951", "0", "10"),
        ("9.9949", "0", "9.9949"),
        (None, "3", "10"),
    ],
)
def test_share_of_a_hold(total: str | None, paid: str, share: str) -> None:
    hold = a.held()
    assert share_of(of_eur(total, paid, hold), hold) == Decimal(share)


@pytest.mark.parametrize(("total", "paid", "share"), [("10", "4", "10"), ("7", "4", "7"), ("3", "4", "3")])
def test_share_counts_what_the_payment_brought_itself(total: str, paid: str, share: str) -> None:
    part = a.partly_captured()
    assert share_of(of_eur(total, paid, part), part) == Decimal(share)


@pytest.mark.parametrize(
    ("total", "paid", "payments", "excess"),
    [
        ("10", "10", (a.captured(),), "0"),
        ("7", "10", (a.captured(),), "3.00"),
        ("9.99", "10", (a.captured(),), "0.01"),
        ("9.9981", "10", (a.captured(),), "0"),
        ("20", "20.01", (a.captured(), a.captured()), "0"),
        ("20", "20.02", (a.captured(), a.captured()), "0.02"),
        ("0", "10", (a.captured(),), "10.00"),
        (None, "10", (a.captured(),), "0"),
    ],
)
def test_overpaid(total: str | None, paid: str, payments: tuple[Payment, ...], excess: str) -> None:
    assert overpaid(of_eur(total, paid, *payments)) == Decimal(excess)


def test_dinars_are_compared_by_what_cards_take() -> None:
    one, two = a.captured(currency="kwd"), a.captured(currency="kwd")
    assert overpaid(of_eur("20.003", "20.02", one, two, currency="kwd")) == NOTHING
    assert overpaid(of_eur("20.003", "20.03", one, two, currency="kwd")) == Decimal("0.020")


@pytest.mark.parametrize(
    ("total", "paid", "payments", "rest"),
    [
        ("10", "0", (a.held(),), "0"),
        ("10", "0", (a.canceled(),), "10"),
        ("10", "0", (a.canceled(), a.held()), "0"),
        ("25", "0", (a.canceled(), a.held()), "15"),
        ("10", "10", (a.canceled(), a.captured()), "0"),
        ("30", "10", (a.captured(), a.held()), "10"),
        ("10", "4", (a.partly_captured(),), "6"),
        ("4", "4", (a.partly_captured(),), "0"),
        ("10", "10", (a.in_flight(),), "0"),
        ("0.004", "0", (a.canceled(),), "0"),
        (None, "0", (a.canceled(),), "10"),
        (None, "0", (a.canceled(), a.held()), "0"),
    ],
)
def test_uncovered(total: str | None, paid: str, payments: tuple[Payment, ...], rest: str) -> None:
    assert uncovered(of_eur(total, paid, *payments)) == Decimal(rest)


@pytest.mark.parametrize("status", ["processing", "requires_action", "requires_capture", "succeeded"])
def test_a_session_that_is_being_paid_covers(status: str) -> None:
    assert uncovered(a.order(a.canceled(), total=a.TEN, sessions=(session(status),))) == NOTHING


@pytest.mark.parametrize("status", ["requires_payment_method", "requires_confirmation", "canceled"])
def test_a_session_that_nobody_pays_covers_nothing(status: str) -> None:
    assert uncovered(a.order(a.canceled(), total=a.TEN, sessions=(session(status),))) == a.TEN


@pytest.mark.parametrize(("total", "nothing"), [("0", True), ("0.004", True), ("0.005", False), ("10", False)])
def test_owes_nothing(total: str, *, nothing: bool) -> None:
    assert owes_nothing(of_eur(total, "0", a.held())) is nothing


@pytest.mark.parametrize(
    ("money", "kept"),
    [
        (a.held(), "0"),
        (a.captured(refunded=Decimal(4)), "6"),
        (a.captured(refunded=Decimal(11)), "0"),
        (a.payment(captured_at=a.PLACED_AT), "10"),
        (a.session("succeeded", refunded=Decimal(4)), "6"),
        (a.session("requires_action"), "0"),
    ],
)
def test_what_is_kept(money: Payment | PaymentSession, kept: str) -> None:
    assert kept_of(money) == Decimal(kept)


def test_kept_money_is_the_orders_own() -> None:
    shared, own, back = (
        a.captured(),
        a.captured(collection_id="pay_col_2"),
        a.captured(collection_id="pay_col_2", refunded=a.TEN),
    )
    paid = a.session("succeeded", collection_id="pay_col_2")
    order = a.order(shared, own, back, sessions=(paid, a.session()), linked=(a.linked(),), state=OrderState.CANCELED)
    assert kept_money(order) == [own, paid]
    small = a.partly_captured(captured=Decimal("0.5"))
    assert kept_money(a.order(small)) == [small]


def test_rounding_excuses_a_cent_for_each_capture_beyond_the_first() -> None:
    """What brought nothing excuses nothing."""
    small = a.partly_captured(captured=Decimal("0.5"))
    assert overpaid(of_eur("1", "1.01", small, small)) == NOTHING
    order = of_eur("10", "10.01", a.captured(), a.held(), a.canceled())
    assert overpaid(order) == Decimal("0.01")
    paid_too = a.order(a.captured(), total=Decimal(20), paid=Decimal("10.01"), sessions=(session("succeeded"),))
    assert overpaid(paid_too) == NOTHING


OWN = {"collection_id": "pay_col_2"}


@pytest.mark.parametrize(
    ("payments", "sessions", "facts", "rest"),
    [
        ((a.held(),), (), {}, "0"),
        ((a.held(**OWN),), (), {}, "10"),
        ((a.in_flight(amount=Decimal(25), captured=Decimal(25)),), (), {}, "10"),
        ((), (a.session("processing"),), {}, "0"),
        ((), (a.session("processing", **OWN),), {}, "10"),
        ((), (), {"linked": (a.linked(held_elsewhere=Decimal(7)),)}, "3"),
        ((a.canceled(), a.held(**OWN)), (), {"total": None}, "10"),
    ],
)
def test_of_a_canceled_order_the_others_are_covered_by_what_they_share(
    payments: tuple[Payment, ...], sessions: tuple[PaymentSession, ...], facts: dict[str, Any], rest: str
) -> None:
    given = {"total": a.TEN, "linked": (a.linked(),), "state": OrderState.CANCELED, **facts}
    assert uncovered(a.order(*payments, sessions=sessions, **given)) == Decimal(rest)


@pytest.mark.parametrize("facts", [{"state": OrderState.CANCELED}, {"linked": (a.linked(),)}])
def test_else_all_that_is_held_covers(facts: dict[str, Any]) -> None:
    order = a.order(a.held(**OWN), total=Decimal(20), sessions=(a.session("processing", **OWN),), **facts)
    assert uncovered(order) == NOTHING


def test_a_cent_is_uncovered() -> None:
    assert uncovered(of_eur("10.005", "0", a.held())) == Decimal("0.005")
