"""What every job does when an attempt failed: try again later, and tell a person when that does not help."""

from __future__ import annotations

from datetime import datetime, timedelta

from app.domain.incidents import IncidentKind
from app.domain.jobs import PROCESSING_TRIES, QUICK_TRIES, Job, processing_delay, retry_delay
from app.ports import Answered, Connection, Declined, IntentState, Outcome, Unknown, Unseen
from app.store import incidents, jobs


async def record_failure(
    conn: Connection, job: Job, outcome: Outcome, *, kind: IncidentKind, now: datetime, at_once: bool = False
) -> None:
    """Schedule the next attempt; after the quick tries, or ``at_once``, open an incident in the same commit.

    An intent that Stripe still processes is waited for: whatever becomes of it is no failure of the call, and until
    then the money may be taken.
    """
    if _is_processing(outcome) and job.attempts < PROCESSING_TRIES:
        await jobs.snooze(
            conn, job, processing_delay(job.attempts), in_doubt=True, new_key=isinstance(outcome, Declined)
        )
        return
    failures = job.failures + 1
    failing_for = now - job.failing_since if job.failing_since else timedelta(0)
    error = describe(outcome)
    await jobs.fail(
        conn,
        job,
        delay=retry_delay(failures, failing_for),
        error=error,
        in_doubt=isinstance(outcome, Unknown) or (job.in_doubt and not _settles(outcome)),
        new_key=isinstance(outcome, Declined) or (isinstance(outcome, Unknown) and outcome.saved),
    )
    if at_once or failures >= QUICK_TRIES:
        await incidents.open_(conn, job.order_id, kind, error)


async def record_trouble(conn: Connection, job: Job, detail: str, *, kind: IncidentKind) -> None:
    """The shop does not show what the job is about: a person is told at once, and it is looked at again later."""
    now = await conn.fetchval("select now()")
    await record_failure(conn, job, Unseen(detail), kind=kind, now=now, at_once=True)


def describe(outcome: Outcome) -> str:
    """The last error in words."""
    match outcome:
        case Declined(error=error) | Unknown(error=error) | Unseen(error=error):
            return error
        case Answered(intent=intent):
            return f"PaymentIntent {intent.id} is {intent.state.value}"


def _settles(outcome: Outcome) -> bool:
    """Whether the outcome shows how things stand at Stripe, so that earlier doubts are over."""
    return isinstance(outcome, Answered) or (isinstance(outcome, Declined) and outcome.intent is not None)


def _is_processing(outcome: Outcome) -> bool:
    intent = outcome.intent if isinstance(outcome, (Answered, Declined)) else None
    return intent is not None and intent.state is IntentState.PROCESSING
