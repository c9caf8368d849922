"""What makes one suspect a payment, and what excuses it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from app.domain.examination import ExaminedPayment, ExaminedSession, judge, judge_session, judge_stranger
from app.domain.findings import Defect, Finding, IntentFacts, trapped_money
from app.domain.incidents import IncidentKind
from app.domain.jobs import JobKind, JobState
from app.domain.order import Payment, PaymentSession, Provider
from tests.domain import builders as a

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
OTHERWISE = IntentFacts(state="other", received=0, refunded=0)
PARTLY_REFUNDED = IntentFacts(state="captured", received=700, refunded=600)

LETTING_GO = {IncidentKind.VOID_FAILED, IncidentKind.UNSUPPORTED_PROVIDER}
GIVING_BACK = LETTING_GO | {IncidentKind.LATE_MONEY, IncidentKind.REFUND_FAILED}
TAKING = {
    IncidentKind.CAPTURE_FAILED,
    IncidentKind.AUTHORIZATION_LOST,
    IncidentKind.PARTIAL_CAPTURE,
    IncidentKind.UNSUPPORTED_PROVIDER,
}
COMPARING = {
    IncidentKind.PARTIAL_CAPTURE,
    IncidentKind.LATE_MONEY,
    IncidentKind.REFUND_FAILED,
    IncidentKind.CAPTURE_FAILED,
    IncidentKind.LOOK_FAILED,
}


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


class TestSessions:
    """A session that the shop has made no payment of."""

    @pytest.mark.parametrize(
        ("session", "facts", "expected"),
        [
            (a.session("requires_action"), None, [(Defect.LIVE_SESSION, "10")]),
            (a.session("requires_capture"), None, [(Defect.LIVE_SESSION, "10")]),
            (a.session("canceled"), None, []),
            (a.session("succeeded"), None, [(Defect.CAPTURED_PAYMENT, "10")]),
            (a.session("succeeded", refunded=Decimal(4)), None, [(Defect.CAPTURED_PAYMENT, "6")]),
            (a.session("succeeded", refunded=a.TEN), None, []),
            (a.session("requires_capture", received=Decimal("0.5")), None, [(Defect.CAPTURED_PAYMENT, "0.5")]),
            (a.session("requires_action"), AT_HELD, [(Defect.HELD_AT_STRIPE, "10")]),
            (a.session("canceled"), AT_HELD, [(Defect.HELD_AT_STRIPE, "10")]),
            (a.session("requires_action"), AT_GONE, []),
            (a.session("requires_action"), OTHERWISE, [(Defect.LIVE_SESSION, "10")]),
            (a.session("canceled"), OTHERWISE, []),
            (a.session("canceled"), AT_TAKEN, [(Defect.CAPTURED_AT_STRIPE, "29.74")]),
            (a.session("succeeded"), PARTLY_REFUNDED, [(Defect.CAPTURED_AT_STRIPE, "1.00")]),
            (a.session("succeeded"), AT_GONE, []),
        ],
    )
    def test_of_a_canceled_order(
        self, session: PaymentSession, facts: IntentFacts | None, expected: list[tuple[Defect, str]]
    ) -> None:
        found = [judgment.finding for judgment in judge_session(beside(session), facts, at_rest=False)]
        assert [(one.defect, one.amount) for one in found] == [(defect, Decimal(sum_)) for defect, sum_ in expected]
        for one in found:
            assert (one.order_id, one.currency) == ("order_1", "eur")
            assert one.detail.startswith(f"{session.id}: ")

    @pytest.mark.parametrize(
        ("session", "facts", "expected"),
        [
            (a.session("requires_action"), None, []),
            (a.session("succeeded"), None, []),
            (a.session("requires_action"), AT_HELD, []),
            (a.session("requires_action"), OTHERWISE, []),
            (a.session("requires_action"), AT_TAKEN, ["29.74"]),
            (a.session("requires_action"), PARTLY_REFUNDED, ["1.00"]),
            (a.session("succeeded"), IntentFacts(state="captured", received=1, refunded=0), ["0.01"]),
            (a.session("succeeded"), IntentFacts(state="captured", received=700, refunded=700), []),
        ],
    )
    def test_of_an_open_order(self, session: PaymentSession, facts: IntentFacts | None, expected: list[str]) -> None:
        found = judge_session(beside(session, order_canceled=False), facts, at_rest=False)
        assert {judgment.finding.defect for judgment in found} <= {Defect.CAPTURED_WITHOUT_ROWS}
        assert [judgment.finding.amount for judgment in found] == [Decimal(sum_) for sum_ in expected]

    @pytest.mark.parametrize("kind", IncidentKind)
    def test_money_that_no_payment_was_made_of_is_told_by_what_compares_or_captures(self, kind: IncidentKind) -> None:
        known = beside(a.session("requires_action"), order_canceled=False, incidents=frozenset({kind}))
        (judgment,) = judge_session(known, AT_TAKEN, at_rest=False)
        assert judgment.excused is (kind in COMPARING | TAKING)

    def test_sums_are_of_the_intents_currency_where_it_is_known(self) -> None:
        yen = IntentFacts(state="captured", received=700, refunded=0, currency="jpy")
        (judgment,) = judge_session(beside(a.session("succeeded")), yen, at_rest=False)
        assert judgment.finding.amount == 700

    @pytest.mark.parametrize(("facts", "found"), [({"voids": 2}, True), ({"voids": 1}, False), ({"refunds": 2}, True)])
    def test_twice(self, facts: dict[str, Any], *, found: bool) -> None:
        counted = IntentFacts(state="canceled", received=0, refunded=0, **facts)
        defects = [one.finding.defect for one in judge_session(beside(a.session("canceled")), counted, at_rest=False)]
        assert defects == ([Defect.DONE_TWICE] if found else [])

    @pytest.mark.parametrize(("part", "found"), [(True, [Defect.SHARED_PAYMENT]), (False, [])])
    def test_left_to_others(self, *, part: bool, found: list[Defect]) -> None:
        shared = beside(a.session("succeeded"), is_left_to_others=True, has_part_of_shared=part)
        assert [one.finding.defect for one in judge_session(shared, None, at_rest=False)] == found

    @pytest.mark.parametrize(
        ("facts", "at_rest", "excused"),
        [
            ({}, False, False),
            ({}, True, False),
            ({"touched_at": NOW - timedelta(seconds=59)}, False, True),
            ({"touched_at": NOW - timedelta(minutes=1)}, False, True),
            ({"touched_at": NOW - timedelta(seconds=61)}, False, False),
            ({"touched_at": NOW - timedelta(seconds=59)}, True, False),
            ({"at_work": frozenset({JobKind.VOID})}, False, True),
            ({"at_work": frozenset({JobKind.RELEASE})}, False, False),
            ({"at_work": frozenset({JobKind.VOID})}, True, False),
            ({"incidents": frozenset({IncidentKind.VOID_FAILED})}, True, True),
            ({"incidents": frozenset({IncidentKind.RELEASE_FAILED})}, True, False),
        ],
    )
    def test_excuses(self, facts: dict[str, Any], *, at_rest: bool, excused: bool) -> None:
        (judgment,) = judge_session(beside(a.session("requires_action"), **facts), None, at_rest=at_rest)
        assert judgment.excused is excused
        assert judgment.told_by == facts.get("incidents", frozenset()) & LETTING_GO


def beside(session: PaymentSession, **changes: Any) -> ExaminedSession:
    """A session of an order that was canceled two hours ago."""
    plain = ExaminedSession(
        order_id="order_1",
        order_canceled=True,
        session=session,
        touched_at=EARLIER,
        at_work=frozenset(),
        incidents=frozenset(),
        read_at=NOW,
    )
    return msgspec.structs.replace(plain, **changes)


TELLS = [
    ("held", examined(canceled=True), None, LETTING_GO),
    ("held at Stripe", examined(canceled=True), AT_HELD, LETTING_GO),
    ("let go at Stripe", examined(canceled=True), AT_GONE, LETTING_GO),
    ("captured", examined(CAPTURED, canceled=True), None, GIVING_BACK),
    ("captured in part", examined(PART, canceled=True), None, GIVING_BACK),
    ("captured at Stripe", examined(canceled=True), AT_TAKEN, GIVING_BACK),
    ("captured without rows", examined(), AT_TAKEN, COMPARING | TAKING),
    ("lost", examined(), AT_GONE, TAKING),
    ("not to be captured", examined(capture_job=JobState.DONE), None, TAKING),
    ("canceled by the rows alone", examined(GONE), AT_HELD, TAKING | LETTING_GO),
    ("canceled and open", examined(GONE, capture_job=None), None, TAKING),
    ("a part", examined(PART, capture_job=None), None, TAKING),
    ("sums", examined(PART), AT_TAKEN, COMPARING),
    ("lapses", examined(authorized_at=NOW - timedelta(days=6, hours=2)), None, TAKING),
    (
        "shared",
        examined(canceled=True, is_left_to_others=True, has_part_of_shared=True),
        None,
        {IncidentKind.PAYMENT_SHARED},
    ),
]


@pytest.mark.parametrize("kind", IncidentKind)
@pytest.mark.parametrize(("payment", "facts", "tell"), [row[1:] for row in TELLS], ids=[row[0] for row in TELLS])
def test_an_incident_excuses_what_it_tells_of(
    payment: ExaminedPayment, facts: IntentFacts | None, tell: set[IncidentKind], kind: IncidentKind
) -> None:
    """And nothing else: a promise may be broken beside any other."""
    known = msgspec.structs.replace(payment, incidents=frozenset({kind}))
    (judgment,) = judge(known, facts, at_rest=False)
    assert judgment.excused is (kind in tell)
    assert judgment.told_by == ({kind} & tell)


@pytest.mark.parametrize("canceled", [GONE, HELD])
def test_a_hold_that_is_said_to_be_lost(canceled: Payment) -> None:
    """By the incident alone, and no longer once Stripe says what it is."""
    lost = examined(canceled, incidents=frozenset({IncidentKind.AUTHORIZATION_LOST}))
    (judgment,) = judge(lost, None, at_rest=False)
    assert (judgment.finding.defect, judgment.excused) == (Defect.LOST_HOLD, True)
    assert [one.finding.defect for one in judge(lost, AT_HELD, at_rest=False)] == (
        [] if canceled is HELD else [Defect.HELD_AT_STRIPE]
    )


@pytest.mark.parametrize(
    ("uncovered", "beside", "expected"),
    [
        (None, False, [Defect.UNCAPTURED]),
        (None, True, []),
        ("10", True, [Defect.UNCAPTURED]),
        ("0.005", True, [Defect.UNCAPTURED]),
        ("0.004", False, []),
        ("0", False, []),
    ],
)
def test_a_canceled_payment_is_missed_where_the_order_owes_it(
    uncovered: str | None, expected: list[Defect], *, beside: bool
) -> None:
    owed = None if uncovered is None else Decimal(uncovered)
    assert verdict(examined(GONE, capture_job=None, uncovered=owed, paid_otherwise=beside)) == expected
    part = examined(PART, capture_job=None, uncovered=owed)
    assert verdict(part) == ([Defect.UNCAPTURED] if owed is None or owed > Decimal("0.004") else [])


@pytest.mark.parametrize(("part", "expected"), [(True, [Defect.SHARED_PAYMENT]), (False, [])])
def test_what_live_orders_share_is_theirs(*, part: bool, expected: list[Defect]) -> None:
    shared = examined(CAPTURED, canceled=True, is_left_to_others=True, has_part_of_shared=part)
    assert verdict(shared) == expected
    assert verdict(msgspec.structs.replace(shared, touched_at=NOW)) == []


@pytest.mark.parametrize(
    ("payment", "let_go", "said"),
    [(HELD, None, "the payment is held"), (GONE, False, "the void was never recorded"), (GONE, True, None)],
)
def test_how_a_hold_of_a_canceled_order_is_live(payment: Payment, let_go: bool | None, said: str | None) -> None:
    found = judge(examined(payment, canceled=True, let_go=let_go), None, at_rest=False)
    assert [said is not None and said in judgment.finding.detail for judgment in found] == ([True] if said else [])
    open_ = judge(examined(CAPTURED, canceled=True, let_go=False), AT_TAKEN, at_rest=False)
    assert [judgment.finding.defect for judgment in open_] == [Defect.CAPTURED_AT_STRIPE]
    assert verdict(examined(PART, canceled=True, let_go=False)) == [Defect.CAPTURE]


PART_BACK = msgspec.structs.replace(CAPTURED, refunded=Decimal(9))
CENT = IntentFacts(state="captured", received=1, refunded=0)


@pytest.mark.parametrize(
    ("payment", "facts", "amount"),
    [
        (examined(canceled=True), None, "29.7381"),
        (examined(canceled=True), AT_GONE, None),
        (examined(PART_BACK, canceled=True), None, "20.7381"),
        (examined(msgspec.structs.replace(PART, refunded=Decimal(4)), canceled=True), None, "6"),
        (examined(canceled=True), PARTLY_REFUNDED, "1.00"),
        (examined(canceled=True), CENT, "0.01"),
        (examined(), PARTLY_REFUNDED, "1.00"),
        (examined(), CENT, "0.01"),
        (examined(PART, capture_job=None), None, "19.7381"),
        (examined(capture_job=None), None, "29.7381"),
        (examined(PART_BACK), AT_TAKEN, "9.00"),
        (examined(CAPTURED), IntentFacts(state="captured", received=2974, refunded=900), "9.00"),
        (examined(PART_BACK), IntentFacts(state="captured", received=2975, refunded=900), "0.01"),
    ],
)
def test_how_much_it_is_about(payment: ExaminedPayment, facts: IntentFacts | None, amount: str | None) -> None:
    (judgment,) = judge(payment, facts, at_rest=False)
    assert judgment.finding.amount == (None if amount is None else Decimal(amount))


def test_a_part_that_was_given_back_is_owed_to_nobody() -> None:
    for payment in (PART, CAPTURED):
        back = msgspec.structs.replace(payment, refunded=payment.captured)
        assert verdict(examined(back, canceled=True)) == []


def test_a_capture_that_medusa_waits_for_is_no_difference() -> None:
    flying = msgspec.structs.replace(HELD, captured=HELD.amount, last_captured_at=NOW)
    assert verdict(examined(flying), AT_HELD) == []
    assert verdict(examined(flying), CENT) == [Defect.SUMS_DIFFER]
    assert verdict(examined(), CENT) == [Defect.CAPTURED_WITHOUT_ROWS]
    part = IntentFacts(state="held", received=0, refunded=0)
    assert verdict(examined(PART), part) == [Defect.SUMS_DIFFER]


@pytest.mark.parametrize("age", [timedelta(seconds=59), timedelta(minutes=1), timedelta(seconds=61)])
def test_only_what_medusa_writes_in_steps_is_given_a_minute(age: timedelta) -> None:
    young: dict[str, Any] = {"touched_at": NOW - age}
    assert verdict(examined(PART, **young), AT_TAKEN) == ([] if age <= timedelta(minutes=1) else [Defect.SUMS_DIFFER])
    assert verdict(examined(canceled=True, **young)) == [Defect.LIVE_PAYMENT]


@pytest.mark.parametrize(
    ("age", "at_rest", "noticed"),
    [
        (timedelta(minutes=5), False, False),
        (timedelta(minutes=5, seconds=1), False, True),
        (timedelta(seconds=10), True, False),
        (timedelta(seconds=11), True, True),
    ],
)
def test_until_when_a_new_hold_may_be_unnoticed(age: timedelta, *, at_rest: bool, noticed: bool) -> None:
    new = examined(capture_job=None, authorized_at=NOW - age)
    assert verdict(new, at_rest=at_rest) == ([Defect.UNCAPTURED] if noticed else [])


@pytest.mark.parametrize(
    ("age", "said"),
    [
        (timedelta(days=6), None),
        (timedelta(days=6, seconds=1), "lapses in 23 h"),
        (timedelta(days=7), "lapsed 0 h ago"),
    ],
)
def test_a_day_before_a_hold_lapses_it_is_named(age: timedelta, said: str | None) -> None:
    details = [judgment.finding.detail for judgment in judge(examined(authorized_at=NOW - age), None, at_rest=False)]
    assert [said is not None and said in detail for detail in details] == ([True] if said else [])


@pytest.mark.parametrize("provider", [Provider.SYSTEM, Provider.OTHER])
def test_only_a_card_lapses(provider: Provider) -> None:
    payment = msgspec.structs.replace(HELD, provider=provider)
    assert verdict(examined(payment, authorized_at=NOW - timedelta(days=30))) == []


def test_a_cent_that_no_row_names_is_found() -> None:
    (finding,) = judge_stranger("pi_9", msgspec.structs.replace(CENT, currency="jpy"))
    assert (finding.amount, finding.currency, finding.order_id) == (Decimal(1), "jpy", None)
    (unknown,) = judge_stranger("pi_9", CENT)
    assert (unknown.amount, unknown.currency) == (None, None)
    assert "pi_9: 1 " in unknown.detail
    assert judge_stranger("pi_9", IntentFacts(state="captured", received=7, refunded=7)) == []


@pytest.mark.parametrize("defect", Defect)
def test_which_defects_are_money_that_shoppers_miss(defect: Defect) -> None:
    finding = Finding(defect=defect, order_id=None, detail="", amount=Decimal(1), currency="eur")
    trapped = {
        "live_payment_on_canceled_order",
        "captured_payment_on_canceled_order",
        "capture_on_canceled_order",
        "held_at_stripe_after_cancel",
        "captured_at_stripe_on_canceled_order",
        "captured_at_stripe_without_rows",
        "captured_twice_in_rows",
        "hold_without_order",
    }
    assert trapped_money([finding]) == ({"eur": Decimal(1)} if defect.value in trapped else {})
    assert trapped_money([msgspec.structs.replace(finding, currency=None)]) == {}
    two = [msgspec.structs.replace(finding, currency=code) for code in ("usd", "eur")]
    assert list(trapped_money(two)) == sorted(trapped_money(two))
