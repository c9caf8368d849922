"""``payment_action``: what a shopper is told about the money of a canceled order."""

from __future__ import annotations

import itertools

import pytest

from app.domain.cancellation import PaymentAction, payment_action
from app.domain.jobs import Job, JobState
from app.domain.order import Order, OrderState, Payment
from tests.domain import builders as a

VOIDED, PENDING, FAILED, NONE = (
    PaymentAction.VOIDED,
    PaymentAction.VOID_PENDING,
    PaymentAction.VOID_FAILED,
    PaymentAction.NONE,
)


def canceled_order(*payments: Payment) -> Order:
    return a.order(*payments, state=OrderState.CANCELED)


def voided() -> tuple[Payment, Job | None]:
    payment = a.canceled()
    return payment, a.void_job(JobState.DONE, payment)


def pending() -> tuple[Payment, Job | None]:
    payment = a.canceled()  # closed in the commit of the cancel; Stripe is yet to be told
    return payment, a.void_job(JobState.SCHEDULED, payment)


def failed() -> tuple[Payment, Job | None]:
    payment = a.canceled()
    return payment, a.void_job(JobState.DEAD, payment)


def captured_and_given_back() -> tuple[Payment, Job | None]:
    return a.captured(refunded=a.TEN), None


ONE = {"voided": (voided, VOIDED), "pending": (pending, PENDING), "failed": (failed, FAILED)}
ONE |= {"captured": (captured_and_given_back, NONE)}


def action_of(*pairs: tuple[Payment, Job | None], trouble: bool = False) -> PaymentAction:
    payments = [payment for payment, _ in pairs]
    jobs = [job for _, job in pairs if job is not None]
    return payment_action(canceled_order(*payments), jobs, trouble=trouble)


@pytest.mark.parametrize("name", ONE)
def test_one_payment(name: str) -> None:
    make, expected = ONE[name]
    assert action_of(make()) is expected


@pytest.mark.parametrize(("first", "second"), list(itertools.product(ONE, repeat=2)))
def test_of_two_payments_the_worse_is_told(first: str, second: str) -> None:
    worst_first = [FAILED, PENDING, VOIDED, NONE]
    expected = min((ONE[first][1], ONE[second][1]), key=worst_first.index)
    assert action_of(ONE[first][0](), ONE[second][0]()) is expected


def test_no_payment() -> None:
    assert action_of() is NONE


@pytest.mark.parametrize("make", [make for make, _ in ONE.values()], ids=ONE.keys())
def test_trouble_outranks_everything(make: type) -> None:
    assert action_of(make(), trouble=True) is FAILED


def test_trouble_without_a_payment() -> None:
    assert action_of(trouble=True) is FAILED


VOID_JOBS = {
    JobState.SCHEDULED: PENDING,
    JobState.QUEUED: PENDING,
    JobState.RUNNING: PENDING,
    JobState.DONE: VOIDED,
    JobState.REMOVED: PENDING,
    JobState.DEAD: FAILED,
}


@pytest.mark.parametrize("state", JobState)
def test_every_state_of_the_void_job(state: JobState) -> None:
    payment = a.canceled()
    assert action_of((payment, a.void_job(state, payment))) is VOID_JOBS[state]


def test_a_void_that_failed_twice_is_still_pending() -> None:
    """Nobody was told yet; the third failure opens the incident, which is the trouble."""
    payment = a.canceled()
    job = a.void_job(JobState.SCHEDULED, payment, failures=2, attempts=2, in_doubt=True)
    assert action_of((payment, job)) is PENDING


class TestCanceledByMedusa:
    """No void job of ours: the rows have to tell."""

    def test_voided(self) -> None:
        assert action_of((a.canceled(), None)) is VOIDED

    def test_void_swallowed(self) -> None:
        assert action_of((a.held(), None)) is PENDING

    def test_one_voided_one_swallowed(self) -> None:
        assert action_of((a.canceled(), None), (a.held(), None)) is PENDING

    def test_refunded(self) -> None:
        assert action_of(captured_and_given_back()) is NONE

    @pytest.mark.parametrize("payment", [a.partly_captured(), a.in_flight()], ids=["partly", "in flight"])
    def test_captured_somehow(self, payment: Payment) -> None:
        assert action_of((payment, None)) is NONE


def test_a_done_void_of_a_payment_that_was_captured_all_the_same() -> None:
    """The void ended because the money had been taken: nothing was voided, and nobody is told so."""
    payment = a.captured()
    assert action_of((payment, a.void_job(JobState.DONE, payment))) is NONE


def test_what_live_orders_share_is_theirs() -> None:
    hold, session = a.held(), a.session("requires_action")
    order = a.order(hold, state=OrderState.CANCELED, sessions=(session,), linked=(a.linked(),))
    assert payment_action(order, [], trouble=False) is NONE
    alone = a.order(hold, state=OrderState.CANCELED, linked=(a.linked(state=OrderState.CANCELED),))
    assert payment_action(alone, [], trouble=False) is PENDING
