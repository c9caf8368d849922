"""Whether a hold waits for the order's payment sessions."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from app.domain.capture import Compare, TakeMoney, decide_capture
from app.domain.order import Order, PaymentSession, Provider
from app.domain.rival_sessions import CannotCompare, RetrieveSessions, WaitForSession, judge_sessions
from tests.domain import builders as a

TWENTY = Decimal(20)
HOLD = a.held()
PROCESSED, WAITING, PAID = a.session("processing"), a.session("requires_action"), a.session("succeeded")
USD = a.session("succeeded", currency="usd")


def judged(*sessions: PaymentSession, retrieved: bool = True, **facts: Any) -> object:
    """What is decided about a hold of ten beside these, where the order comes to ten."""
    order = a.order(HOLD, sessions=sessions, **{"total": a.TEN, **facts})
    return judge_sessions(order, HOLD, retrieved={one.id for one in sessions} if retrieved else ())


def test_without_a_session_that_may_bring_money_nothing_is_waited_for() -> None:
    assert judged(retrieved=False) is None
    assert judged(a.session("canceled"), retrieved=False) is None


@pytest.mark.parametrize(
    ("facts", "needed"),
    [
        ({"total": TWENTY}, False),
        ({"total": Decimal("19.995")}, False),
        ({"total": Decimal("19.99")}, True),
        ({"total": Decimal(25), "paid": Decimal(5)}, False),
        ({"total": Decimal(25), "paid": Decimal("5.01")}, True),
        ({"total": None}, True),
    ],
)
def test_a_hold_that_is_owed_beside_all_the_sessions_waits_for_none(facts: dict[str, Any], *, needed: bool) -> None:
    decision = judged(PROCESSED, retrieved=False, **facts)
    assert decision == (RetrieveSessions((PROCESSED,)) if needed else None)


def test_all_of_the_sessions_may_be_paid() -> None:
    assert judged(PROCESSED, WAITING, retrieved=False, total=Decimal(30)) is None
    both = RetrieveSessions((PROCESSED, WAITING))
    assert judged(PROCESSED, WAITING, retrieved=False, total=Decimal("29.99")) == both


def test_a_session_that_brought_more_than_its_amount_counts_with_that() -> None:
    more = a.session("succeeded", received=Decimal(12))
    assert judged(more, retrieved=False, total=Decimal(22)) is None
    assert judged(more, retrieved=False, total=Decimal(21)) == RetrieveSessions((more,))


def test_what_was_captured_of_the_hold_is_owed_of_it() -> None:
    part = a.partly_captured()
    order = a.order(part, sessions=(PROCESSED,), total=TWENTY, paid=Decimal(4))
    assert judge_sessions(order, part, retrieved=()) is None


@pytest.mark.parametrize("mixed", [(USD,), (PAID, USD)])
def test_a_session_of_another_currency_is_never_owed_beside(mixed: tuple[PaymentSession, ...]) -> None:
    assert judged(*mixed, retrieved=False, total=Decimal(1000)) == RetrieveSessions(mixed)


def test_only_stripes_sessions_that_were_not_retrieved_yet_are_retrieved() -> None:
    other = a.session("requires_action", provider=Provider.OTHER)
    order = a.order(HOLD, sessions=(PROCESSED, other, WAITING), total=a.TEN)
    assert judge_sessions(order, HOLD, retrieved=()) == RetrieveSessions((PROCESSED, WAITING))
    assert judge_sessions(order, HOLD, retrieved={PROCESSED.id}) == RetrieveSessions((WAITING,))
    assert judge_sessions(order, HOLD, retrieved={WAITING.id}) == RetrieveSessions((PROCESSED,))


def test_a_bank_that_decides_is_waited_for_and_a_shopper_is_not() -> None:
    assert judged(WAITING, PROCESSED) == WaitForSession(PROCESSED)
    assert judged(WAITING) is None
    assert judged(PAID) is None


@pytest.mark.parametrize(
    ("session", "facts", "comparable"),
    [
        (PAID, {}, True),
        (PAID, {"total": None}, False),
        (USD, {}, False),
        (a.session("succeeded", currency="EUR"), {}, True),
        (a.session("succeeded", currency="usd", refunded=a.TEN), {}, True),  # nothing of it is left
        (a.session("requires_action", currency="usd"), {}, True),
        (a.session("succeeded", currency="usd", received=Decimal("0.5")), {}, False),
    ],
)
def test_what_cannot_be_subtracted_is_a_persons_to_decide(
    session: PaymentSession, facts: dict[str, Any], *, comparable: bool
) -> None:
    assert judged(session, **facts) == (None if comparable else CannotCompare(session))


def test_a_person_is_told_what_it_brought() -> None:
    session = a.session("succeeded", id="payses_9", currency="usd", refunded=Decimal("0.5"))
    assert CannotCompare(session).detail == (
        "payses_9 brought 9.50 USD, which cannot be compared with what the order owes. The hold is not captured: "
        "refund the session's intent, or void the hold"
    )


@pytest.mark.parametrize("session", [PROCESSED, USD])
def test_an_attempt_in_doubt_is_compared_before_it_waits(session: PaymentSession) -> None:
    order: Order = a.order(HOLD, sessions=(session,), total=a.TEN)
    assert decide_capture(order, HOLD.id, in_doubt=True, retrieved={session.id}) == Compare(HOLD)


def test_a_capture_asks_the_sessions_before_the_sums() -> None:
    order = a.order(HOLD, sessions=(PROCESSED,), total=a.TEN)
    assert decide_capture(order, HOLD.id) == RetrieveSessions((PROCESSED,))
    assert decide_capture(order, HOLD.id, retrieved={PROCESSED.id}) == WaitForSession(PROCESSED)
    part = a.order(HOLD, sessions=(a.session("succeeded", amount=Decimal(4)),), total=a.TEN)
    assert decide_capture(part, HOLD.id, retrieved={one.id for one in part.sessions}) == TakeMoney(HOLD, Decimal(6))
