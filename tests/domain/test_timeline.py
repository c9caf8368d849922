"""The timeline of an order: every event in words, with its notes and its tone, newest first."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.domain.cancellation import Refusal
from app.domain.incidents import TITLES, IncidentKind
from app.domain.jobs import JobKind, JobState
from app.domain.timeline import Event, JobRow, Moment, Tone, moments, who

AT = datetime(2026, 11, 27, 9, 30, tzinfo=UTC)
SECOND = timedelta(seconds=1)
PLAIN, GOOD, BAD, PERSON = Tone.PLAIN, Tone.GOOD, Tone.BAD, Tone.PERSON

DOING = {
    "capture": "capture of the money",
    "void": "void of the hold",
    "refund": "refund",
    "release": "release of the stock",
    "publish": "message to Medusa's subscribers",
    "look": "comparison with Stripe",
}
REFUSED = {
    "completed": "the order was completed",
    "captured": "the money was captured already",
    "fulfilled": "the order was being fulfilled",
    "partial_capture": "a part of the money was captured",
    "capture_in_flight": "the capture was under way",
    "grace_period_over": "the grace period was over",
    "order_change_pending": "an edit, a return, a claim or an exchange of the order was open",
    "payment_unknown": "it is not clear which payment is for the order",
}


def event(kind: str, *, actor: str | None = None, request_id: str | None = None, **detail: Any) -> Event:
    """A row of the timeline's table."""
    return Event(id=1, at=AT, kind=kind, actor=actor, request_id=request_id, detail=detail)


def title(kind: str, **detail: Any) -> str:
    """What one event is called."""
    (moment,) = moments([event(kind, **detail)], [], None)
    return moment.title


def job(kind: JobKind = JobKind.CAPTURE, **facts: Any) -> JobRow:
    """A capture that waits for the end of the grace period."""
    defaults: dict[str, Any] = {
        "id": 1,
        "kind": kind,
        "subject": "pay_1",
        "state": JobState.SCHEDULED,
        "run_at": AT + timedelta(hours=1),
        "attempts": 0,
        "failures": 0,
        "in_doubt": False,
        "last_error": None,
        "created_at": AT,
        "updated_at": AT,
    }
    return JobRow(**{**defaults, **facts})


EVENTS: dict[str, tuple[Event, str, tuple[str, ...], Tone]] = {
    "canceled": (
        event("cancel_accepted", actor="customer:cus_1", request_id="01R", reason="Ordered twice", waited_ms=0),
        "Canceled by customer cus_1",
        ("“Ordered twice”", "order and payments locked after 0 ms", "request 01R"),
        GOOD,
    ),
    "canceled, and nothing more is known": (event("cancel_accepted"), "Canceled by somebody", (), GOOD),
    "refused": (
        event("cancel_refused", actor="token", request_id="01R", reason="captured"),
        "Cancel refused: the money was captured already",
        ("asked by the link in the confirmation", "request 01R"),
        PLAIN,
    ),
    "refused for what a later version says": (
        event("cancel_refused", reason="of_a_later_version"),
        "Cancel refused: of_a_later_version",
        ("asked by somebody",),
        PLAIN,
    ),
    "begun": (
        event("job_claimed", job="void", attempt=1, in_doubt=False, subject="pay_1", waited_ms=12),
        "Begun: void of the hold, attempt 1",
        ("pay_1", "order and payments locked after 12 ms"),
        PLAIN,
    ),
    "begun in doubt": (
        event("job_claimed", job="capture", attempt=2, in_doubt=True),
        "Begun: capture of the money, attempt 2",
        ("an earlier attempt may have reached Stripe: it is looked at first",),
        PLAIN,
    ),
    "failed": (
        event("job_failed", job="refund", error="500", next_at="2026-11-27T09:30:05+00:00"),
        "Failed: refund",
        ("500", "next try 2026-11-27 09:30:05 UTC"),
        BAD,
    ),
    "failed without an answer": (
        event("job_failed", job="refund", in_doubt=True),
        "Failed: refund",
        ("whether Stripe did it is not known",),
        BAD,
    ),
    "put off": (
        event("job_snoozed", job="capture", next_at=datetime(2026, 11, 27, 9, 30, 5, tzinfo=UTC)),
        "Put off: capture of the money",
        ("something else is under way for it", "next look 2026-11-27 09:30:05 UTC"),
        PLAIN,
    ),
    "postponed": (
        event("job_postponed", job="void"),
        "Waits for another worker at this order: void of the hold",
        (),
        PLAIN,
    ),
    "done": (event("job_done", job="void", subject="pay_1"), "Void of the hold: done", ("pay_1",), GOOD),
    "removed": (
        event("job_removed", job="capture", subject="pay_1", note="order_canceled"),
        "Capture of the money: no longer wanted",
        ("pay_1", "order_canceled"),
        PLAIN,
    ),
    "given up": (event("job_dead", job="look"), "Comparison with Stripe: given up", (), BAD),
    "Stripe answered": (
        event(
            "stripe_call",
            verb="capture",
            outcome="answered",
            intent="pi_1",
            state="captured",
            stripe_request="req_1",
            ms=7,
        ),
        "Stripe asked to capture: answered",
        ("pi_1 captured", "Stripe's request req_1", "7 ms"),
        PLAIN,
    ),
    "Stripe declined": (
        event("stripe_call", verb="void", outcome="declined", intent="pi_1", error="card_declined", ms=7),
        "Stripe asked to void: declined",
        ("pi_1", "card_declined", "7 ms"),
        BAD,
    ),
    "Stripe said nothing": (
        event("stripe_call", verb="refund", outcome="unknown", ms=7),
        "Stripe asked to refund: no clear answer",
        ("7 ms",),
        BAD,
    ),
    "Stripe was asked": (
        event("stripe_call", verb="look", outcome="unseen", ms=7),
        "Stripe asked how it stands: unseen",
        ("7 ms",),
        BAD,
    ),
    "an incident": (
        event("incident_opened", incident="void_failed", detail="500"),
        "Incident opened: Hold not let go",
        ("500",),
        BAD,
    ),
    "an incident is over": (
        event("incident_closed", incident="void_failed"),
        "Incident closed itself: Hold not let go",
        (),
        GOOD,
    ),
    "an incident of a later version": (event("incident_opened", incident="later"), "Incident opened: later", (), BAD),
    "retried by an operator": (
        event("act_retry", actor="ada@shop.test", incident="void_failed"),
        "Tried at once: Hold not let go",
        ("by ada@shop.test",),
        PERSON,
    ),
    "refunded by hand": (
        event("act_refund", actor="ada@shop.test", incident="late_money", name="Ada", note="called"),
        "Refund asked for: Captured although canceled",
        ("by ada@shop.test", "name given: Ada", "called"),
        PERSON,
    ),
    "settled by hand": (
        event("act_settle", incident="late_money", note="called"),
        "Settled by hand: Captured although canceled",
        ("by somebody", "called"),
        PERSON,
    ),
    "of a later version": (event("later", job="void"), "later", (), PLAIN),
}


@pytest.mark.parametrize(("row", "called", "notes", "tone"), EVENTS.values(), ids=EVENTS.keys())
def test_an_event(row: Event, called: str, notes: tuple[str, ...], tone: Tone) -> None:
    (moment,) = moments([row], [], None)
    assert (moment.at, moment.title, moment.notes, moment.tone) == (AT, called, notes, tone)


@pytest.mark.parametrize("kind", JobKind)
def test_what_a_job_does(kind: JobKind) -> None:
    assert title("job_postponed", job=kind.value).endswith(f": {DOING[kind.value]}")
    (scheduled,) = moments([], [job(kind)], None)
    assert scheduled.title == f"Scheduled: {DOING[kind.value]}"
    assert title("job_postponed", job="later").endswith(": later")


@pytest.mark.parametrize("reason", Refusal)
def test_why_a_cancel_was_refused(reason: Refusal) -> None:
    assert title("cancel_refused", reason=reason.value) == f"Cancel refused: {REFUSED[reason.value]}"


@pytest.mark.parametrize("kind", IncidentKind)
def test_an_incident_has_its_title(kind: IncidentKind) -> None:
    assert title("incident_opened", incident=kind.value) == f"Incident opened: {TITLES[kind]}"


@pytest.mark.parametrize(
    ("actor", "said"),
    [
        (None, "somebody"),
        ("token", "the link in the confirmation"),
        ("customer:cus_1", "customer cus_1"),
        ("ada@shop.test", "ada@shop.test"),
    ],
)
def test_who(actor: str | None, said: str) -> None:
    assert who(actor) == said


@pytest.mark.parametrize(
    ("facts", "due"),
    [
        ({}, True),
        ({"run_at": AT + 6 * SECOND}, True),
        ({"run_at": AT + 5 * SECOND}, False),
        ({"run_at": AT}, False),
        ({"attempts": 1}, False),
        ({"attempts": 7}, False),
    ],
)
def test_a_job_that_waits_says_until_when(facts: dict[str, Any], *, due: bool) -> None:
    one = job(**facts)
    (moment,) = moments([], [one], None)
    said = (f"due {one.run_at:%Y-%m-%d %H:%M:%S} UTC",) if due else ()
    assert (moment.at, moment.notes, moment.tone) == (AT, ("pay_1", *said), PLAIN)


@pytest.mark.parametrize(
    ("state", "attempts", "said"),
    [
        (JobState.REMOVED, 0, True),
        (JobState.REMOVED, 1, False),  # it began: an event tells how it ended
        (JobState.DONE, 0, False),
        (JobState.SCHEDULED, 0, False),
    ],
)
def test_a_job_that_was_removed_before_it_began_has_no_event(state: JobState, attempts: int, *, said: bool) -> None:
    one = job(state=state, attempts=attempts, updated_at=AT + SECOND)
    newest, *older = moments([], [one], None)
    removed = Moment(at=AT + SECOND, title="Removed before it began: capture of the money", notes=("pay_1",))
    assert (newest == removed, len(older)) == ((True, 1) if said else (False, 0))


def test_the_newest_comes_first_and_the_order_itself_last() -> None:
    events = [Event(id=number, at=AT + number * SECOND, kind=f"event {number}") for number in (2, 4, 3)]
    titles = [moment.title for moment in moments(events, [job(created_at=AT + SECOND)], AT)]
    assert titles == ["event 4", "event 3", "event 2", "Scheduled: capture of the money", "Order placed"]
    assert moments([], [], AT) == [Moment(at=AT, title="Order placed")]
    assert moments([], [], None) == []
