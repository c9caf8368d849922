"""What is still to be done, as rows: the states of a job and when it is tried again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Final

import msgspec

from app.domain.rows import Row

LEASE: Final = timedelta(seconds=20)
"""How long a claimed job belongs to its worker. Longer than any call to Stripe may take (see CALL_LIMIT),
short enough that the work of a killed worker is taken up within half a minute."""

CALL_LIMIT: Final = timedelta(seconds=15)
"""All calls that one attempt makes end within this time, so that they end within the lease."""

QUICK_TRIES: Final = 3
"""After this many failed attempts a person is told."""

PROCESSING_TRIES: Final = 100
"""Attempts, about a day of them, for which an intent that Stripe still processes is no failure."""


class JobKind(StrEnum):
    """What a job does. Its ``subject`` is the id of a payment or of a payment session without one, an order id
    (release), an event (publish), or a payment or session and an event (look)."""

    CAPTURE = "capture"
    VOID = "void"
    REFUND = "refund"
    RELEASE = "release"
    PUBLISH = "publish"
    LOOK = "look"
    """Compare a payment with its intent at Stripe, because Stripe said that something happened."""


class JobState(StrEnum):
    """``scheduled -> queued -> running -> done | removed | dead``; a failed attempt is scheduled again."""

    SCHEDULED = "scheduled"
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    REMOVED = "removed"
    DEAD = "dead"


Ulid = Annotated[str, msgspec.Meta(pattern=r"\A[0-7][0-9A-HJKMNP-TV-Z]{25}\Z")]


class JobRef(msgspec.Struct, frozen=True):
    """Identifies one dispatch of a job; a message carries all of it.

    A message of an older generation is stale. One that differs in anything else is foreign. Neither does anything.
    """

    installation: Ulid
    id: Ulid
    kind: JobKind
    order_id: Annotated[str, msgspec.Meta(min_length=1, max_length=500, pattern=r"\A[^\x00\ud800-\udfff]+\Z")]
    generation: Annotated[int, msgspec.Meta(ge=0, lt=2**31)]

    @classmethod
    def parse(cls, fields: object) -> JobRef | None:
        """Return the reference whose fields these are, in order; ``None`` when they are malformed."""
        names = cls.__struct_fields__
        if not isinstance(fields, Sequence) or len(fields) != len(names):
            return None
        try:
            return msgspec.convert(dict(zip(names, fields, strict=True)), cls)
        except msgspec.ValidationError:
            return None


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A row of ``grace.jobs``."""

    installation: str = ""
    id: str
    """A ULID; empty for a row of an earlier version that has not been dispatched since."""
    kind: JobKind
    order_id: str
    subject: str
    state: JobState
    generation: int = 0
    attempts: int = 0
    failures: int = 0
    """Failed attempts in a row."""
    failing_since: datetime | None = None
    in_doubt: bool = False
    """An attempt was begun and its outcome was never recorded as definite. A capture is decided by it; of the other
    kinds, whose every further attempt retrieves first, it is shown in the timeline alone."""
    ended_at: datetime | None = None
    """When it was over; ``None`` for a job that is not, or that was claimed."""
    key_number: int = 1
    """Spells the idempotency key; raised after a definite error, since Stripe replays saved errors."""
    request_id: str | None = None
    """The request that the job goes back to, and the trace parent that it gave on."""
    traceparent: str | None = None
    late: float = 0.0
    """Seconds that it was overdue for when it was claimed."""

    @property
    def ref(self) -> JobRef:
        """The message that belongs to this row as it stands."""
        return JobRef(self.installation, self.id, self.kind, self.order_id, self.generation)

    @property
    def idempotency_key(self) -> str:
        """The same key as long as an outcome is unknown, another after a definite error."""
        return f"grace-{self.kind}-{self.subject}-{self.key_number}"


def capture_key(job: Job, amount: int, whole: int) -> str:
    """The idempotency key of a capture of ``amount`` of a hold of ``whole``, both in the smallest unit.

    Stripe answers a key that comes with another amount with an error: another amount is another key.
    """
    return job.idempotency_key if amount == whole else f"{job.idempotency_key}-{amount}"


def retry_delay(failures: int, failing_for: timedelta) -> timedelta:
    """How long to wait after ``failures`` failed attempts in a row, the first of them ``failing_for`` ago.

    Two quick tries, then a tenth of the time the trouble has lasted, between 5 s and 5 min: what fails
    for a minute is tried again within six seconds of its end, what fails for days costs 288 calls a day.
    """
    if failures < QUICK_TRIES:
        return timedelta(milliseconds=400 * failures)
    return min(max(failing_for / 10, timedelta(seconds=5)), timedelta(minutes=5))


def processing_delay(attempts: int) -> timedelta:
    """How long to wait for an intent that was still processed at the last of ``attempts``."""
    return timedelta(seconds=min(5 << min(attempts, 10), 900))


def poll_delay(attempts: int) -> timedelta:
    """How long to wait before an intent that a bank is processing is retrieved again: 2 s, doubled up to an hour."""
    return timedelta(seconds=min(2 ** min(attempts, 12), 3600))


def job_of(row: Row) -> Job:
    """The job of a row."""
    return Job(
        installation=row["installation"],
        id=row["id"],
        kind=JobKind(row["kind"]),
        order_id=row["order_id"],
        subject=row["subject"],
        state=JobState(row["state"]),
        generation=row["generation"],
        attempts=row["attempts"],
        failures=row["failures"],
        failing_since=row["failing_since"],
        in_doubt=row["in_doubt"],
        ended_at=row.get("ended_at", None),
        key_number=row["key_number"],
        request_id=row.get("request_id", None),
        traceparent=row.get("traceparent", None),
        late=row.get("late", 0.0),
    )
