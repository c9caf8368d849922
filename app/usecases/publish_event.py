"""Tell the shop's subscribers what happened."""

from __future__ import annotations

import structlog

from app.domain.order import Order
from app.ports import Event, Unavailable
from app.usecases.job_failures import record_unavailable
from app.usecases.job_run import JobRun, Recording

log = structlog.get_logger()


async def publish_event(run: JobRun, _: Order | None) -> None:
    """Publish one event, at least once; twice only when a worker dies between publishing and recording it."""
    job = run.job
    try:
        await run.services.events.publish(Event.parse(job.subject))
    except Unavailable as error:
        await record_unavailable(run, error)
        return
    async with run.services.db.single("publish.record") as conn:
        if await Recording(run, conn).complete():
            log.info("event.published", order_id=job.order_id, event_name=job.subject)
