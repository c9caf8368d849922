"""Tell the shop's subscribers what happened."""

from __future__ import annotations

import structlog

from app.domain.incidents import IncidentKind
from app.domain.jobs import Job, JobRef
from app.ports import Event, Services, Unavailable, Unknown
from app.store import jobs
from app.usecases.job_failures import record_failure

log = structlog.get_logger()


async def publish_event(services: Services, ref: JobRef) -> None:
    """Publish one event, at least once; twice only when a worker dies between publishing and recording it."""
    async with services.db.single("publish.claim") as conn:
        job = await jobs.take(conn, ref)
    if job is None:
        return
    try:
        await services.commerce.publish(Event.parse(job.subject))
    except Unavailable as error:
        await _record_failure(services, job, error)
    else:
        await _record(services, job)


async def _record(services: Services, job: Job) -> None:
    async with services.db.single("publish.record") as conn:
        if await jobs.end_well(conn, job, IncidentKind.PUBLISH_FAILED):
            log.info("event.published", order_id=job.order_id, event_name=job.subject)


async def _record_failure(services: Services, job: Job, failure: Unavailable) -> None:
    async with services.db.transaction("publish.failed") as conn:
        if not await jobs.hold(conn, job):
            return
        now = await conn.fetchval("select now()")
        await record_failure(conn, job, Unknown(str(failure)), kind=IncidentKind.PUBLISH_FAILED, now=now)
    log.warning("publish.failed", order_id=job.order_id, error=str(failure))
