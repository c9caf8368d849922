"""What makes one suspect a payment, and what excuses it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from app.domain.examination import ExaminedPayment, judge, judge_stranger
from app.domain.findings import Defect, Finding, IntentFacts, trapped_money
from app.domain.incidents import IncidentKind
from app.domain.jobs import JobKind, JobState
from app.domain.order import Payment, Provider

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
EARLIER = NOW - timedelta(hours=2)
HELD = Payment(
    id="pay_1",
    collection_id="pay_col_1",
    provider=Provider.STRIPE,
    provider_id="pp_stripe_stripe",
    currency="eur",
    amount=Decimal("29.7381"),
    intent_id="pi_1",
)
CAPTURED = msgspec.structs.replace(HELD, captured=HELD.amount, captured_at=EARLIER, last_captured_at=EARLIER)
GONE = msgspec.structs.replace(HELD, canceled_at=EARLIER)
PART = msgspec.structs.replace(HELD, captured=Decimal(10), last_captured_at=EARLIER)

AT_HELD = IntentFacts(state="held", received=0, refunded=0)
AT_TAKEN = IntentFacts(state="captured", received=2974, refunded=0)
AT_GONE = IntentFacts(state="canceled", received=0, refunded=0)


def examined(payment: Payment = HELD, *, canceled: bool = False, **changes: Any) -> ExaminedPayment:
    """A payment that a capture waits for, two hours old."""
    plain = ExaminedPayment(
        order_id="order_1",
        order_canceled=canceled,
        payment=payment,
        authorized_at=EARLIER,
        touched_at=EARLIER,
        let_go=True,
        refunds=0,
        paid_otherwise=False,
        watched=True,
        capture_job=JobState.SCHEDULED,
        at_work=frozenset(),
        incidents=frozenset(),
        read_at=NOW,
    )
    return msgspec.structs.replace(plain, **changes)


def verdict(payment: ExaminedPayment, facts: IntentFacts | None = None, *, at_rest: bool = False) -> list[Defect]:
    return [judgment.finding.defect for judgment in judge(payment, facts, at_rest=at_rest) if not judgment.excused]


@pytest.mark.parametrize(
    ("payment", "facts", "expected"),
    [
        (HELD, None, [Defect.LIVE_PAYMENT]),
        (HELD, AT_HELD, [Defect.HELD_AT_STRIPE]),
        (HELD, AT_GONE, [Defect.LIVE_PAYMENT]),
        (HELD, AT_TAKEN, [Defect.CAPTURED_AT_STRIPE]),
        (GONE, None, []),
        (GONE, AT_GONE, []),
        (GONE, AT_HELD, [Defect.HELD_AT_STRIPE]),
        (CAPTURED, None, [Defect.CAPTURED_PAYMENT]),
        (CAPTURED, AT_TAKEN, [Defect.CAPTURED_AT_STRIPE]),
        (CAPTURED, AT_GONE, [Defect.SUMS_DIFFER]),
        (PART, None, [Defect.CAPTURE]),
        (PART, AT_TAKEN, [Defect.CAPTURED_AT_STRIPE, Defect.SUMS_DIFFER]),
        (PART, IntentFacts(state="captured", received=1000, refunded=1000), [Defect.SUMS_DIFFER]),
        (HELD, IntentFacts(state="captured", received=2974, refunded=2974), [Defect.SUMS_DIFFER]),
        (HELD, IntentFacts(state="other", received=0, refunded=0), []),
    ],
)
def test_of_a_canceled_order(payment: Payment, facts: IntentFacts | None, expected: list[Defect]) -> None:
    assert verdict(examined(payment, canceled=True), facts) == expected


@pytest.mark.parametrize(
    ("payment", "facts", "expected"),
    [
        (HELD, None, []),
        (HELD, AT_HELD, []),
        (HELD, AT_GONE, [Defect.LOST_HOLD]),
        (HELD, AT_TAKEN, [Defect.CAPTURED_WITHOUT_ROWS]),
        (GONE, AT_GONE, []),
        (GONE, AT_HELD, [Defect.HELD_AT_STRIPE]),
        (CAPTURED, AT_TAKEN, []),
        (CAPTURED, AT_HELD, [Defect.SUMS_DIFFER]),
        (PART, IntentFacts(state="captured", received=1000, refunded=0), []),
        (PART, AT_TAKEN, [Defect.SUMS_DIFFER]),
    ],
)
def test_of_an_open_order(payment: Payment, facts: IntentFacts | None, expected: list[Defect]) -> None:
    assert verdict(examined(payment), facts) == expected


@pytest.mark.parametrize("payment", [HELD, PART, GONE])
@pytest.mark.parametrize(
    ("job", "expected"),
    [
        (JobState.DONE, [Defect.UNCAPTURED]),
        (JobState.REMOVED, [Defect.UNCAPTURED]),
        (None, [Defect.UNCAPTURED]),
        (JobState.DEAD, []),
        (JobState.QUEUED, []),
        (JobState.RUNNING, []),
    ],
)
def test_nobody_will_capture_it(payment: Payment, job: JobState | None, expected: list[Defect]) -> None:
    assert verdict(examined(payment, capture_job=job)) == expected


def test_a_payment_that_this_sidecar_does_not_watch_is_not_its_business() -> None:
    assert verdict(examined(capture_job=None, watched=False)) == []


def test_a_new_hold_is_noticed_within_minutes_and_at_rest_within_seconds() -> None:
    new = examined(capture_job=None, authorized_at=NOW - timedelta(minutes=4))
    assert verdict(new) == []
    assert verdict(new, at_rest=True) == [Defect.UNCAPTURED]


def test_a_canceled_payment_beside_another_is_nothing() -> None:
    assert verdict(examined(GONE, capture_job=JobState.REMOVED, paid_otherwise=True)) == []


@pytest.mark.parametrize(
    ("age", "said"),
    [
        (timedelta(days=5, hours=23), None),
        (timedelta(days=6, hours=2), "lapses in 22 h"),
        (timedelta(days=8), "lapsed 24 h ago"),
    ],
)
def test_a_hold_that_lapses(age: timedelta, said: str | None) -> None:
    old = examined(authorized_at=NOW - age)
    assert verdict(old) == ([Defect.HOLD_LAPSES] if said else [])
    if said:
        (judgment,) = judge(old, None, at_rest=False)
        assert said in judgment.finding.detail
    assert verdict(old, at_rest=True) == []
    assert verdict(msgspec.structs.replace(old, at_work=frozenset({JobKind.CAPTURE}))) == []


@pytest.mark.parametrize(
    ("currency", "amount", "captured", "received"),
    [
        ("eur", "29.7381", "29.7381", 2974),
        ("eur", "29.7381", "29.74", 2974),
        ("jpy", "3500.5", "3500.5", 3501),
        ("kwd", "9.991", "9.991", 10000),
        ("kwd", "9.991", "10.000", 10000),
    ],
)
def test_sums_are_compared_as_stripe_rounds_them(currency: str, amount: str, captured: str, received: int) -> None:
    payment = msgspec.structs.replace(CAPTURED, currency=currency, amount=Decimal(amount), captured=Decimal(captured))
    for off, expected in ((0, []), (1, [Defect.SUMS_DIFFER]), (-1, [Defect.SUMS_DIFFER])):
        facts = IntentFacts(state="captured", received=received + off, refunded=0)
        assert verdict(examined(payment), facts) == expected


@pytest.mark.parametrize("counts", [{"captures": 2}, {"voids": 2}, {"refunds": 2}])
def test_what_was_done_twice_has_no_excuse(counts: dict[str, int]) -> None:
    facts = msgspec.structs.replace(IntentFacts(state="captured", received=2974, refunded=0), **counts)
    excused = examined(CAPTURED, incidents=frozenset(IncidentKind), at_work=frozenset(JobKind))
    assert verdict(excused, facts) == [Defect.DONE_TWICE]
    once = IntentFacts(state="captured", received=2974, refunded=0, captures=1, voids=0, refunds=1)
    assert verdict(excused, once) == []


def test_two_refunds_that_the_rows_know_of_are_two_refunds() -> None:
    payment = msgspec.structs.replace(CAPTURED, refunded=Decimal(10))
    facts = IntentFacts(state="captured", received=2974, refunded=1000, refunds=2)
    assert verdict(examined(payment, refunds=2), facts) == []
    assert verdict(examined(payment, refunds=1), facts) == [Defect.DONE_TWICE]


@pytest.mark.parametrize("kind", [JobKind.VOID, JobKind.CAPTURE, JobKind.REFUND, JobKind.LOOK])
def test_a_job_at_work_excuses_on_a_live_shop_only(kind: JobKind) -> None:
    busy = examined(canceled=True, at_work=frozenset({kind}))
    assert verdict(busy, AT_HELD) == []
    assert verdict(busy, AT_HELD, at_rest=True) == [Defect.HELD_AT_STRIPE]


def test_a_capture_in_flight_on_a_canceled_order_is_given_a_minute() -> None:
    flying = msgspec.structs.replace(HELD, captured=HELD.amount, last_captured_at=NOW)
    young = examined(flying, canceled=True, touched_at=NOW - timedelta(seconds=59))
    old = examined(flying, canceled=True, touched_at=NOW - timedelta(seconds=61))
    assert (verdict(young), verdict(old)) == ([], [Defect.CAPTURE])
    assert verdict(young, at_rest=True) == [Defect.CAPTURE]


def test_an_intent_without_any_row() -> None:
    taken = IntentFacts(state="captured", received=700, refunded=200, currency="eur")
    (finding,) = judge_stranger("pi_9", taken)
    assert (finding.defect, finding.amount) == (Defect.CAPTURED_WITHOUT_ROWS, Decimal("5.00"))
    assert judge_stranger("pi_9", AT_HELD) == []
    assert [f.defect for f in judge_stranger("pi_9", msgspec.structs.replace(AT_GONE, voids=2))] == [Defect.DONE_TWICE]


def test_trapped_money_is_what_shoppers_miss() -> None:
    def finding(defect: Defect, amount: str | None, currency: str | None = "eur") -> Finding:
        sum_ = None if amount is None else Decimal(amount)
        return Finding(defect=defect, order_id="order_1", detail="", amount=sum_, currency=currency)

    found = [
        finding(Defect.HELD_AT_STRIPE, "10.5"),
        finding(Defect.CAPTURED_PAYMENT, "1"),
        finding(Defect.LIVE_PAYMENT, None),
        finding(Defect.UNCAPTURED, "99"),
        finding(Defect.SUMS_DIFFER, "99"),
        finding(Defect.CAPTURE, "3500", "jpy"),
    ]
    assert trapped_money(found) == {"eur": Decimal("11.5"), "jpy": Decimal(3500)}
    assert trapped_money([]) == {}
