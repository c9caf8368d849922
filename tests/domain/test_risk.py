"""What an incident is about in money, and when its hold lapses."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from app.domain.examination import HOLD_LASTS
from app.domain.incidents import IncidentKind
from app.domain.order import Payment, PaymentSession, Provider
from app.domain.risk import SeenOrder, SeenPayment, at_risk, currency_order, lapses_at
from tests.domain import builders as a

NO_MONEY = {IncidentKind.RELEASE_FAILED, IncidentKind.PUBLISH_FAILED}
OTHERS = sorted(set(IncidentKind) - NO_MONEY - {IncidentKind.FULFILLED})


def seen(payment: Payment, *, let_go: bool | None = None, days: int = 0, before: int | None = None) -> SeenPayment:
    return SeenPayment(
        payment=payment,
        authorized_at=a.PLACED_AT + timedelta(days=days),
        capture_before=None if before is None else a.PLACED_AT + timedelta(days=before),
        let_go=let_go,
    )


def order(*payments: SeenPayment, canceled: bool, sessions: tuple[PaymentSession, ...] = ()) -> SeenOrder:
    return SeenOrder(
        id="order_1",
        display_id=1,
        currency="eur",
        placed_at=a.PLACED_AT,
        canceled=canceled,
        canceled_at=a.PLACED_AT if canceled else None,
        payments=payments,
        sessions=sessions,
    )


@pytest.mark.parametrize("kind", sorted(NO_MONEY))
@pytest.mark.parametrize("canceled", [False, True])
def test_stock_and_events_are_no_money(kind: IncidentKind, *, canceled: bool) -> None:
    assert at_risk(kind, order(seen(a.held()), seen(a.captured()), canceled=canceled)) == 0


def test_a_parcel_is_worth_the_order() -> None:
    payments = (seen(a.held()), seen(a.captured(refunded=a.TEN)), seen(a.canceled()))
    assert at_risk(IncidentKind.FULFILLED, order(*payments, canceled=True)) == 30


# A payment of ten, whether its hold is known to be gone, and what is at risk of it in a canceled order and in an open
# one.
SUMS: dict[str, tuple[Payment, bool | None, str, str]] = {
    "held": (a.held(), None, "10", "10"),
    "being captured": (a.in_flight(), None, "10", "0"),
    "captured in part": (a.partly_captured(), None, "4", "6"),
    "captured by half a euro": (a.partly_captured(captured=Decimal("0.5")), None, "0.5", "9.5"),
    "captured in part, given back": (a.partly_captured(refunded=Decimal(4)), None, "0", "6"),
    "captured": (a.captured(), None, "10", "0"),
    "captured without a row": (a.captured(captured=Decimal(0)), None, "10", "0"),
    "given back in part": (a.captured(refunded=Decimal(3)), None, "7", "0"),
    "given back": (a.captured(refunded=a.TEN), None, "0", "0"),
    "given back twice": (a.captured(refunded=Decimal(20)), None, "0", "0"),
    "closed, and held at Stripe": (a.canceled(), False, "10", "0"),
    "closed, and released": (a.canceled(), True, "0", "0"),
    "closed, and nothing is known": (a.canceled(), None, "0", "0"),
    "closed, at another provider": (a.canceled(provider=Provider.OTHER), False, "0", "0"),
    "closed, Medusa's own": (a.canceled(provider=Provider.SYSTEM), False, "0", "0"),
}
TAKEN = {name for name, (payment, _, _, _) in SUMS.items() if payment.taken}


@pytest.mark.parametrize("kind", OTHERS)
@pytest.mark.parametrize("name", SUMS)
def test_money_at_risk(name: str, kind: IncidentKind) -> None:
    payment, let_go, canceled, open_ = SUMS[name]
    one = seen(payment, let_go=let_go)
    assert at_risk(kind, order(one, canceled=True)) == Decimal(canceled)
    if kind is IncidentKind.REFUND_FAILED and name in TAKEN:
        open_ = canceled
    if kind is IncidentKind.AUTHORIZATION_LOST and name.startswith("closed"):
        open_ = "10"
    assert at_risk(kind, order(one, canceled=False)) == Decimal(open_)
    assert at_risk(kind, order(one, one, canceled=True)) == 2 * Decimal(canceled)


def test_a_hold_lapses_when_its_bank_says_else_after_a_week() -> None:
    week = a.PLACED_AT + HOLD_LASTS
    assert lapses_at(order(seen(a.held()), canceled=False)) == week
    assert lapses_at(order(seen(a.held(), days=2), canceled=False)) == week + timedelta(days=2)
    assert lapses_at(order(seen(a.held(), before=30), canceled=False)) == a.PLACED_AT + timedelta(days=30)


def test_the_first_hold_to_lapse_counts() -> None:
    payments = (seen(a.held(), days=1), seen(a.held(), before=3), seen(a.held(), days=5))
    assert lapses_at(order(*payments, canceled=False)) == a.PLACED_AT + timedelta(days=3)


@pytest.mark.parametrize(
    ("payment", "let_go", "of_canceled", "of_open"),
    [
        (a.held(), None, True, True),
        (a.in_flight(), None, True, True),
        (a.partly_captured(), None, True, True),
        (a.captured(), None, False, False),
        (a.canceled(), False, True, False),
        (a.canceled(), True, False, False),
        (a.canceled(), None, False, False),
        (a.canceled(provider=Provider.OTHER), False, False, False),
    ],
)
def test_only_what_is_held_lapses(payment: Payment, let_go: bool | None, *, of_canceled: bool, of_open: bool) -> None:
    one = seen(payment, let_go=let_go)
    assert (lapses_at(order(one, canceled=True)) is not None) is of_canceled
    assert (lapses_at(order(one, canceled=False)) is not None) is of_open


def test_the_currency_of_most_comes_first_and_names_break_ties() -> None:
    assert currency_order(["usd", "eur", "usd", "jpy", "eur", "chf"]) == {"eur": 0, "usd": 1, "chf": 2, "jpy": 3}
    assert currency_order([]) == {}


# A session of ten, and what is at risk of it in a canceled order and beside a parcel.
SESSIONS: dict[str, tuple[PaymentSession, str, str]] = {
    "being paid": (a.session("processing"), "10", "10"),
    "held": (a.session("requires_capture"), "10", "10"),
    "held, a part taken": (a.session("requires_capture", received=Decimal(4)), "10", "10"),
    "held, a part taken and given back": (
        a.session("requires_capture", received=Decimal(4), refunded=Decimal(4)),
        "6",
        "10",
    ),
    "paid": (a.session("succeeded"), "10", "10"),
    "paid, a part given back": (a.session("succeeded", refunded=Decimal(3)), "7", "10"),
    "canceled": (a.session("canceled"), "0", "0"),
    "of another currency": (a.session("succeeded", currency="usd"), "0", "0"),
    "of the same in capitals": (a.session("succeeded", currency="EUR"), "10", "10"),
}


@pytest.mark.parametrize(("session", "sum_", "parcel"), SESSIONS.values(), ids=SESSIONS.keys())
def test_sessions_at_risk(session: PaymentSession, sum_: str, parcel: str) -> None:
    """Of an open order they are nobody's trouble."""
    assert at_risk(IncidentKind.LATE_MONEY, order(canceled=True, sessions=(session,))) == Decimal(sum_)
    assert at_risk(IncidentKind.CAPTURE_FAILED, order(canceled=False, sessions=(session,))) == 0
    assert at_risk(IncidentKind.FULFILLED, order(canceled=True, sessions=(session,))) == Decimal(parcel)
    beside = order(seen(a.held()), canceled=True, sessions=(session, session))
    assert at_risk(IncidentKind.VOID_FAILED, beside) == 10 + 2 * Decimal(sum_)


def test_more_captured_than_held_is_no_negative_sum() -> None:
    more = seen(a.partly_captured(captured=Decimal(11)))
    assert at_risk(IncidentKind.AUTHORIZATION_LOST, order(more, seen(a.held()), canceled=False)) == 10
