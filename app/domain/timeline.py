"""What happened to an order, in words for an operator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

import msgspec

from app.domain.incidents import TITLES, IncidentKind
from app.domain.jobs import JobKind, JobState


class Act(StrEnum):
    """What an operator may do about an incident."""

    RETRY = "act_retry"
    REFUND = "act_refund"
    SETTLE = "act_settle"


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """A row of ``grace.events``. What ``detail`` holds depends on ``kind``."""

    id: int
    at: datetime
    kind: str
    job_id: int | None = None
    request_id: str | None = None
    actor: str | None = None
    detail: dict[str, Any] = {}


class JobRow(msgspec.Struct, frozen=True, kw_only=True):
    """A job as an operator sees it."""

    id: int
    kind: JobKind
    subject: str
    state: JobState
    run_at: datetime
    attempts: int
    failures: int
    in_doubt: bool
    last_error: str | None
    created_at: datetime
    updated_at: datetime


class Tone(StrEnum):
    """How a moment is to be taken."""

    PLAIN = "plain"
    GOOD = "good"
    BAD = "bad"
    PERSON = "person"


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a timeline; ``notes`` stand below it, smaller."""

    at: datetime
    title: str
    notes: tuple[str, ...] = ()
    tone: Tone = Tone.PLAIN


_DOING: Final[Mapping[str, str]] = {
    "capture": "capture of the money",
    "void": "void of the hold",
    "refund": "refund",
    "release": "release of the stock",
    "publish": "message to Medusa's subscribers",
    "look": "comparison with Stripe",
}
_VERBS: Final[Mapping[str, str]] = {
    "look": "asked how it stands",
    "capture": "asked to capture",
    "void": "asked to void",
    "refund": "asked to refund",
}
_ENDINGS: Final[Mapping[str, tuple[str, Tone]]] = {
    "job_done": ("done", Tone.GOOD),
    "job_removed": ("no longer wanted", Tone.PLAIN),
    "job_dead": ("given up", Tone.BAD),
}
REFUSALS: Final[Mapping[str, str]] = {
    "completed": "the order was completed",
    "captured": "the money was captured already",
    "fulfilled": "the order was being fulfilled",
    "partial_capture": "a part of the money was captured",
    "capture_in_flight": "the capture was under way",
    "grace_period_over": "the grace period was over",
    "order_change_pending": "an edit, a return, a claim or an exchange of the order was open",
    "payment_unknown": "it is not clear which payment is for the order",
}


def moments(events: Sequence[Event], jobs: Sequence[JobRow], placed_at: datetime | None) -> list[Moment]:
    """The whole timeline, newest first: events, when jobs were scheduled, and when the order was placed."""
    told = [_moment(event) for event in events]
    told += [
        Moment(
            at=job.created_at,
            title=f"Scheduled: {_doing(job.kind)}",
            notes=_some(job.subject, _time("due", job.run_at) if _waits(job) else None),
        )
        for job in jobs
    ]
    told += [
        Moment(at=job.updated_at, title=f"Removed before it began: {_doing(job.kind)}", notes=_some(job.subject))
        for job in jobs
        if job.state is JobState.REMOVED and job.attempts == 0
    ]
    if placed_at is not None:
        told.append(Moment(at=placed_at, title="Order placed"))
    return sorted(told, key=lambda moment: moment.at, reverse=True)


def _waits(job: JobRow) -> bool:
    return job.attempts == 0 and job.run_at - job.created_at > timedelta(seconds=5)


def who(actor: str | None) -> str:
    """``canceled_by`` in words."""
    if actor is None:
        return "somebody"
    name, _, id_ = actor.partition(":")
    return f"customer {id_}" if name == "customer" else "the link in the confirmation" if name == "token" else actor


def _moment(event: Event) -> Moment:
    detail = event.detail
    match event.kind:
        case "cancel_accepted":
            return Moment(
                at=event.at,
                title=f"Canceled by {who(event.actor)}",
                notes=_some(
                    f"“{detail['reason']}”" if detail.get("reason") else None,
                    _waited(detail),
                    event.request_id and f"request {event.request_id}",
                ),
                tone=Tone.GOOD,
            )
        case "cancel_refused":
            return Moment(
                at=event.at,
                title=f"Cancel refused: {REFUSALS.get(str(detail.get('reason')), detail.get('reason'))}",
                notes=_some(f"asked by {who(event.actor)}", event.request_id and f"request {event.request_id}"),
            )
        case "job_claimed":
            doubt = "an earlier attempt may have reached Stripe: it is looked at first" if detail["in_doubt"] else None
            return Moment(
                at=event.at,
                title=f"Begun: {_doing(detail['job'])}, attempt {detail['attempt']}",
                notes=_some(detail.get("subject"), _waited(detail), doubt),
            )
        case "job_failed":
            return Moment(
                at=event.at,
                title=f"Failed: {_doing(detail['job'])}",
                notes=_some(
                    detail.get("error"),
                    "whether Stripe did it is not known" if detail.get("in_doubt") else None,
                    _time("next try", detail.get("next_at")),
                ),
                tone=Tone.BAD,
            )
        case "job_snoozed":
            return Moment(
                at=event.at,
                title=f"Put off: {_doing(detail['job'])}",
                notes=_some("something else is under way for it", _time("next look", detail.get("next_at"))),
            )
        case "job_postponed":
            return Moment(at=event.at, title=f"Waits for another worker at this order: {_doing(detail['job'])}")
        case "stripe_call":
            return _stripe_call(event)
        case "incident_opened" | "incident_closed":
            opened = event.kind == "incident_opened"
            title = _incident(detail.get("incident"))
            return Moment(
                at=event.at,
                title=f"Incident opened: {title}" if opened else f"Incident closed itself: {title}",
                notes=_some(detail.get("detail")),
                tone=Tone.BAD if opened else Tone.GOOD,
            )
        case Act.RETRY | Act.REFUND | Act.SETTLE:
            return _act(event)
        case kind if kind in _ENDINGS:
            ending, tone = _ENDINGS[kind]
            doing = _doing(detail["job"])
            return Moment(
                at=event.at,
                title=f"{doing[:1].upper()}{doing[1:]}: {ending}",
                notes=_some(detail.get("subject"), detail.get("note")),
                tone=tone,
            )
        case kind:
            return Moment(at=event.at, title=kind)


def _stripe_call(event: Event) -> Moment:
    detail = event.detail
    outcome = detail.get("outcome")
    answers = {"answered": "answered", "declined": "declined", "unknown": "no clear answer"}
    return Moment(
        at=event.at,
        title=f"Stripe {_VERBS.get(detail['verb'], detail['verb'])}: {answers.get(str(outcome), outcome)}",
        notes=_some(
            detail.get("intent") and f"{detail['intent']} {detail.get('state') or ''}".strip(),
            detail.get("error"),
            detail.get("stripe_request") and f"Stripe's request {detail['stripe_request']}",
            f"{detail.get('ms')} ms",
        ),
        tone=Tone.PLAIN if outcome == "answered" else Tone.BAD,
    )


def _act(event: Event) -> Moment:
    title = {
        Act.RETRY: "Tried at once",
        Act.REFUND: "Refund asked for",
        Act.SETTLE: "Settled by hand",
    }[Act(event.kind)]
    return Moment(
        at=event.at,
        title=f"{title}: {_incident(event.detail.get('incident'))}",
        notes=_some(f"by {who(event.actor)}", _by_name(event), event.detail.get("note")),
        tone=Tone.PERSON,
    )


def _by_name(event: Event) -> str | None:
    return f"name given: {event.detail['name']}" if event.detail.get("name") else None


def _incident(kind: object) -> str:
    try:
        return TITLES[IncidentKind(str(kind))]
    except ValueError:
        return str(kind)


def _doing(job: str) -> str:
    return _DOING.get(job, job)


def _waited(detail: Mapping[str, Any]) -> str | None:
    waited = detail.get("waited_ms")
    return f"order and payments locked after {waited} ms" if waited is not None else None


def _time(what: str, at: object) -> str | None:
    if at is None:
        return None
    moment = at if isinstance(at, datetime) else datetime.fromisoformat(str(at))
    return f"{what} {moment:%Y-%m-%d %H:%M:%S} UTC"


def _some(*notes: object) -> tuple[str, ...]:
    return tuple(str(note) for note in notes if note)
