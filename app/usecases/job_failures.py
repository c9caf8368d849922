"""What every job does when an attempt failed: try again later, and tell a person when that does not help."""

from __future__ import annotations

from datetime import timedelta

import structlog

from app.domain.intents import IntentState
from app.domain.jobs import PROCESSING_TRIES, QUICK_TRIES, processing_delay, retry_delay
from app.ports import Answered, Declined, Outcome, Unknown, Unseen
from app.store import incidents, jobs
from app.usecases.job_run import JobRun, Recording

log = structlog.get_logger()


async def record_failure(recording: Recording, outcome: Outcome, *, at_once: bool = False) -> None:
    """Schedule the next attempt; after the quick tries, or ``at_once``, open an incident in the same commit.

    An intent that Stripe still processes is waited for: whatever becomes of it is no failure of the call, and until
    then the money may be taken.
    """
    conn, job, order = recording.conn, recording.job, recording.order
    if _is_processing(outcome) and job.attempts < PROCESSING_TRIES:
        await recording.snooze(processing_delay(job.attempts), in_doubt=True, new_key=isinstance(outcome, Declined))
        return
    failures = job.failures + 1
    now = order.read_at if order is not None else await conn.fetchval("select now()")
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
    recording.run.outcome = "failed"
    if at_once or failures >= QUICK_TRIES:
        await incidents.open_(conn, job.order_id, recording.incident, error)


async def record_trouble(recording: Recording, detail: str) -> None:
    """The shop does not show what the job is about: a person is told at once, and it is looked at again later."""
    await record_failure(recording, Unseen(detail), at_once=True)


async def record_unavailable(run: JobRun, error: Exception) -> None:
    """Record an attempt that ended because something did not answer in time."""
    async with run.services.db.transaction(f"{run.job.kind}.failed") as conn:
        if recording := await run.recording(conn):
            await record_failure(recording, Unknown(str(error)))
    log.warning(f"{run.job.kind}.failed", order_id=run.job.order_id, error=str(error))


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
