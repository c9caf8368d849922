"""Run one job of any kind, as a message or a relay asks for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Final

import msgspec
import structlog

from app.domain.jobs import LEASE, Job, JobKind, JobRef, JobState
from app.domain.order import Order
from app.meters import record_job, record_wait
from app.ports import CommitUnknown, Origin, Outcome, Services, Unavailable, Unknown, Unseen
from app.ports.stripe_budget import CLASS_OF
from app.store import jobs
from app.usecases.capture_payment import capture_payment
from app.usecases.job_failures import record_failure
from app.usecases.job_run import JobRun, Recording
from app.usecases.look_at_payment import look_at_payment
from app.usecases.publish_event import publish_event
from app.usecases.refund_payment import refund_payment
from app.usecases.release_stock import release_stock
from app.usecases.void_payment import void_payment

log = structlog.get_logger()

VERBS: Final[Mapping[JobKind, Callable[[JobRun, Order | None], Awaitable[None]]]] = {
    JobKind.CAPTURE: capture_payment,
    JobKind.VOID: void_payment,
    JobKind.REFUND: refund_payment,
    JobKind.RELEASE: release_stock,
    JobKind.PUBLISH: publish_event,
    JobKind.LOOK: look_at_payment,
}
"""What a kind of job does once it is claimed, with the order as the claim read it under its locks."""

TAKEN: Final = 1
"""Requests to Stripe that the relay takes from the budget for a job of ``CLASS_OF``. A retry makes two, a refund three,
a job that finds nothing to do none: the difference is charged, or given back, when the run is over."""
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
    try:
        if kind not in CLASS_OF:
            await claim_and_run(services, ref)
            return
        async with services.locks.hold(ref.order_id) as held:
            if held or not await _postpone(services, ref):
                await claim_and_run(services, ref)
    except Unavailable as error:
        log.warning("job.interrupted", error=str(error))
    except Exception as error:
        log.exception("job.crashed")
        await _record_crash(services, ref, error)
    finally:
        structlog.contextvars.clear_contextvars()


async def claim_and_run(services: Services, ref: JobRef) -> None:
    """Run the job unless its message is stale, without the order's advisory lock. Raises what it meets."""
    claimed = await _claim(services, ref)
    if claimed is None:
        await _log_stale(services, ref)
        return
    job, order = claimed
    record_wait(kind=job.kind.value, seconds=max(job.late, 0.0))
    if job.request_id is not None:
        structlog.contextvars.bind_contextvars(request_id=job.request_id)
    with services.tracing.span(f"job {job.kind}", parent=job.traceparent) as traceparent:
        origin = Origin(job.request_id, traceparent or job.traceparent)
        run = JobRun(msgspec.structs.replace(services, origin=origin), job)
        try:
            await VERBS[job.kind](run, order)
        except Exception as error:
            await _keep_calls(run, error)
            raise
        finally:
            if job.kind in CLASS_OF:
                await services.stripe_budget.charge(run.requests - TAKEN)
    if run.outcome is not None:
        late = run.late if run.outcome == JobState.DONE else None
        record_job(kind=job.kind.value, outcome=run.outcome, late=late)


async def _claim(services: Services, ref: JobRef) -> tuple[Job, Order | None] | None:
    """Make the job this worker's. One that calls Stripe is claimed under the order's locks, and has the order."""
    async with services.db.single(f"{ref.kind}.claim") as conn:
        if ref.kind in CLASS_OF:
            return await services.orders.take_with_order(conn, ref)
        job = await jobs.take(conn, ref)
        return None if job is None else (job, None)


async def _log_stale(services: Services, ref: JobRef) -> None:
    """Log a message that did nothing: stale, or foreign where no row of this installation was dispatched with it."""
    log.info(f"{ref.kind}.stale")
    async with services.db.read("job.foreign") as conn:
        if await jobs.is_foreign(conn, ref):
            log.warning("job.foreign", installation=ref.installation, generation=ref.generation)


async def _keep_calls(run: JobRun, error: Exception) -> None:
    """Write the calls to Stripe that no transaction wrote since, for want of one that was committed."""
    if not run.calls or isinstance(error, CommitUnknown):
        return
    try:
        async with run.services.db.transaction("job.calls") as conn:
            await run.write_calls(conn)
    except Unavailable as lost:
        log.warning("job.calls_lost", error=str(lost), calls=len(run.calls))


async def _record_crash(services: Services, ref: JobRef, error: Exception) -> None:
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
                await record_failure(Recording(JobRun(services, job), conn), outcome)
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
        await services.stripe_budget.charge(-TAKEN)
    elif postponed is False:
        log.warning("job.lock_passed_by", waited_s=LEASE.total_seconds())
    return bool(postponed)
