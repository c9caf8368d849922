"""Run one job of any kind, as a message or a relay asks for it."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Final

import structlog

from app.domain.incidents import IncidentKind
from app.domain.jobs import LEASE, JobKind, JobRef, JobState
from app.meters import record_job
from app.ports import Outcome, Services, Unavailable, Unknown, Unseen
from app.store import jobs
from app.store.runs import begin_run
from app.usecases.capture_payment import capture_payment
from app.usecases.job_failures import record_failure
from app.usecases.look_at_payment import look_at_payment
from app.usecases.note_calls import noting_calls
from app.usecases.publish_event import publish_event
from app.usecases.refund_payment import refund_payment
from app.usecases.release_stock import release_stock
from app.usecases.void_payment import void_payment

log = structlog.get_logger()

VERBS: Final[Mapping[JobKind, Callable[[Services, JobRef], Awaitable[None]]]] = {
    JobKind.CAPTURE: capture_payment,
    JobKind.VOID: void_payment,
    JobKind.REFUND: refund_payment,
    JobKind.RELEASE: release_stock,
    JobKind.PUBLISH: publish_event,
    JobKind.LOOK: look_at_payment,
}

INCIDENT_OF: Final[Mapping[JobKind, IncidentKind]] = {
    JobKind.CAPTURE: IncidentKind.CAPTURE_FAILED,
    JobKind.VOID: IncidentKind.VOID_FAILED,
    JobKind.REFUND: IncidentKind.REFUND_FAILED,
    JobKind.RELEASE: IncidentKind.RELEASE_FAILED,
    JobKind.PUBLISH: IncidentKind.PUBLISH_FAILED,
    JobKind.LOOK: IncidentKind.LOOK_FAILED,
}

_AT_STRIPE: Final = {JobKind.CAPTURE, JobKind.VOID, JobKind.REFUND, JobKind.LOOK}
_AFTER_A_COLLEAGUE: Final = timedelta(milliseconds=250)


async def run_job(services: Services, kind: JobKind, ref: JobRef) -> None:
    """Run the job unless its message is stale or foreign. Jobs that call Stripe hold the order's advisory lock.

    ``kind`` is that of the queue that the message came through. Never raises: what could not be recorded comes back
    when its lease lapses.
    """
    if ref.kind is not kind:
        log.warning("job.foreign", job=ref.id, job_kind=ref.kind.value, queue=kind.value, order_id=ref.order_id)
        return
    structlog.contextvars.bind_contextvars(job=ref.id, job_kind=kind.value, order_id=ref.order_id)
    noting = noting_calls(services, ref) if kind in _AT_STRIPE else services
    try:
        with contextlib.ExitStack() as spans:
            name = f"job {kind.value}"
            run = begin_run(lambda traceparent: spans.enter_context(services.tracing.span(name, parent=traceparent)))
            if not await _run(noting, kind, ref) and not run.claimed:
                await _log_foreign(services, ref)
        if run.outcome is not None:
            late = run.late if run.outcome == JobState.DONE else None
            record_job(kind=kind.value, outcome=run.outcome, late=late)
    except Unavailable as error:
        log.warning("job.interrupted", error=str(error))
    except Exception as error:
        log.exception("job.crashed")
        await _record_crash(services, kind, ref, error)
    finally:
        structlog.contextvars.clear_contextvars()


async def _run(services: Services, kind: JobKind, ref: JobRef) -> bool:
    """Run the job, or put it back while another worker holds the order's lock. Return whether it was put back."""
    if kind not in _AT_STRIPE:
        await VERBS[kind](services, ref)
        return False
    async with services.locks.hold(ref.order_id) as held:
        if not held and await _postpone(services, ref):
            return True
        await VERBS[kind](services, ref)
        return False


async def _log_foreign(services: Services, ref: JobRef) -> None:
    """Log a message that no row of this installation was ever dispatched with: it did nothing."""
    async with services.db.read("job.foreign") as conn:
        if await jobs.is_foreign(conn, ref):
            log.warning("job.foreign", installation=ref.installation, generation=ref.generation)


async def _record_crash(services: Services, kind: JobKind, ref: JobRef, error: Exception) -> None:
    """A mistake of ours is a failure like any other: tried again, and shown to a person when that does not help."""
    text = f"{type(error).__name__}: {error}"
    try:
        async with services.db.transaction("job.crashed") as conn:
            outcome: Outcome = Unknown(text)
            job = await jobs.running(conn, ref)
            if job is None:  # it crashed while it was claimed: nothing was tried
                outcome = Unseen(text)
                job = await jobs.take(conn, ref)
            if job is not None:
                now = await conn.fetchval("select now()")
                await record_failure(conn, job, outcome, kind=INCIDENT_OF[kind], now=now)
    except Unavailable:
        pass
    except Exception:
        log.exception("job.crash_unrecorded")


async def _postpone(services: Services, ref: JobRef) -> bool:
    """Put the job back for a moment, but for a lease in all at most, however often the lock is renewed. ``False`` when
    it has waited that long, or the message is stale."""
    async with services.db.transaction("job.postpone") as conn:
        postponed = await jobs.postpone(conn, ref, _AFTER_A_COLLEAGUE)
    if postponed:
        log.info("job.postponed")
    elif postponed is False:
        log.warning("job.lock_passed_by", waited_s=LEASE.total_seconds())
    return bool(postponed)
