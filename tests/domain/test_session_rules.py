"""Payment sessions in the rules: what is open, paid or canceled, and whose job stands for whose money."""

from __future__ import annotations

from decimal import Decimal

import pytest

from app.domain.cancellation import PaymentAction, payment_action
from app.domain.capture import MEDUSA_FINISHES_WITHIN, refunds_settled
from app.domain.intents import Standing
from app.domain.jobs import Job, JobKind, JobState, poll_delay, processing_delay
from app.domain.order import OrderState, PaymentSession
from tests.domain import builders as a

VOIDED, PENDING, FAILED, NONE = (
    PaymentAction.VOIDED,
    PaymentAction.VOID_PENDING,
    PaymentAction.VOID_FAILED,
    PaymentAction.NONE,
)
OPEN_WORDS = (
    "requires_payment_method",
    "requires_confirmation",
    "requires_action",
    "requires_capture",
    "processing",
    "of_a_later_version",
    "",
    None,
)


@pytest.mark.parametrize("status", OPEN_WORDS)
def test_what_is_not_over_is_open(status: str | None) -> None:
    session = a.session(status)
    assert (session.is_open, session.taken, session.coming) == (True, Decimal(0), a.TEN)


def test_what_is_over() -> None:
    released, taken = a.session("canceled"), a.session("succeeded")
    assert (released.standing, released.is_open, released.taken) == (Standing.RELEASED, False, Decimal(0))
    assert (taken.standing, taken.is_open, taken.taken) == (Standing.TAKEN, False, a.TEN)


@pytest.mark.parametrize("status", [*OPEN_WORDS, "canceled", "succeeded"])
def test_money_received_outranks_every_status(status: str | None) -> None:
    part = a.session(status, received=Decimal(4), refunded=Decimal(1))
    more = status == "requires_capture"
    assert part.standing is (Standing.PARTLY_TAKEN if more else Standing.TAKEN)
    assert (part.is_open, part.taken, part.kept) == (more, Decimal(4), Decimal(3))
    assert part.coming == (6 if more else 0)
    assert part.is_paid is not more


def test_a_status_that_its_sum_contradicts() -> None:
    empty = a.session("succeeded", received=Decimal(0))
    assert (empty.standing, empty.is_open, empty.is_paid) == (Standing.UNSETTLED, True, True)


def test_a_payment_is_found_by_its_own_id_and_by_its_sessions() -> None:
    first, second = a.held(session_id="payses_1"), a.held(session_id="payses_2")
    waiting = a.session()
    order = a.order(first, second, sessions=(waiting,))
    assert [order.payment(name) for name in (first.id, "payses_1", second.id, "payses_2", waiting.id)] == [
        first,
        first,
        second,
        second,
        None,
    ]
    assert [order.session(name) for name in (waiting.id, "payses_1", first.id)] == [waiting, None, None]


def test_what_is_live_is_held_or_may_come() -> None:
    sessions = (a.session(amount=Decimal(1)), a.session("succeeded"), a.session("canceled"))
    payments = (a.held(amount=Decimal(2)), a.captured(), a.canceled(), a.partly_captured(), a.in_flight())
    assert a.order(*payments, sessions=sessions).live == 3


@pytest.mark.parametrize(
    ("total", "paid", "owed"), [("25", "0", "25"), ("25", "10", "15"), ("25", "30", "0"), (None, "10", "16")]
)
def test_what_is_owed(total: str | None, paid: str, owed: str) -> None:
    """Without a total, what is held and not taken yet."""
    payments = (a.held(), a.captured(), a.canceled(), a.partly_captured())
    order = a.order(*payments, total=None if total is None else Decimal(total), paid=Decimal(paid))
    assert order.owed == Decimal(owed)


# A session's status, the state of its void job, and what the shopper is told.
ACTIONS: list[tuple[str, JobState | None, PaymentAction]] = [
    ("requires_action", None, PENDING),
    ("requires_action", JobState.DONE, PENDING),
    ("requires_action", JobState.SCHEDULED, PENDING),
    ("canceled", JobState.DONE, VOIDED),
    ("canceled", JobState.RUNNING, PENDING),
    ("canceled", JobState.QUEUED, PENDING),
    ("canceled", JobState.REMOVED, PENDING),
    ("canceled", JobState.DEAD, FAILED),
    ("canceled", None, NONE),  # long before the cancel: a card that was tried in vain
    ("succeeded", JobState.DONE, NONE),
    ("succeeded", None, NONE),
    ("succeeded", JobState.SCHEDULED, PENDING),
]


def void_of(session: PaymentSession, state: JobState | None) -> list[Job]:
    return [] if state is None else [a.job(JobKind.VOID, state, session.id)]


@pytest.mark.parametrize(("status", "state", "told"), ACTIONS)
def test_what_is_told_of_a_session(status: str, state: JobState | None, told: PaymentAction) -> None:
    session = a.session(status)
    order = a.order(state=OrderState.CANCELED, sessions=(session,))
    assert payment_action(order, void_of(session, state), trouble=False) is told


def test_of_a_payment_and_a_session_the_worse_is_told() -> None:
    payment, session = a.canceled(), a.session("requires_action")
    voids = [a.void_job(JobState.DONE, payment), *void_of(session, JobState.SCHEDULED)]
    order = a.order(payment, state=OrderState.CANCELED, sessions=(session,))
    assert payment_action(order, voids, trouble=False) is PENDING


@pytest.mark.parametrize(("state", "told"), [(JobState.DONE, VOIDED), (JobState.SCHEDULED, PENDING)])
def test_the_job_of_a_session_stands_for_the_payment_that_was_made_of_it(state: JobState, told: PaymentAction) -> None:
    payment = a.canceled(session_id="payses_1")
    voids = [a.job(JobKind.VOID, state, "payses_1")]
    assert payment_action(a.order(payment, state=OrderState.CANCELED), voids, trouble=False) is told


@pytest.mark.parametrize(("refunded", "settled"), [("10", True), ("10.5", True), ("9.99", False), ("0", False)])
def test_a_session_that_was_paid_is_settled_once_all_of_it_was_given_back(refunded: str, *, settled: bool) -> None:
    order = a.order(sessions=(a.session("succeeded", refunded=Decimal(refunded)), a.session("canceled")))
    assert refunds_settled(order) is settled


def test_sessions_and_payments_are_settled_together() -> None:
    given_back = a.captured(refunded=a.TEN, last_refunded_at=a.PLACED_AT - MEDUSA_FINISHES_WITHIN)
    assert refunds_settled(a.order(given_back, sessions=(a.session("requires_action"),)))
    assert not refunds_settled(a.order(given_back, sessions=(a.session("succeeded"),)))
    assert not refunds_settled(a.order(a.captured(), sessions=(a.session("canceled"),)))


def test_what_a_bank_processes_is_looked_at_ever_more_rarely() -> None:
    polls = [poll_delay(attempts).total_seconds() for attempts in range(1, 14)]
    assert polls == [2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 3600, 3600]
    waits = [processing_delay(attempts).total_seconds() for attempts in range(1, 10)]
    assert waits == [10, 20, 40, 80, 160, 320, 640, 900, 900]
    assert processing_delay(10**6).total_seconds() == 900
    assert poll_delay(10**6).total_seconds() == 3600
