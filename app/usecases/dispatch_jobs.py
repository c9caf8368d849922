"""Move due jobs to "queued" and hand them out; put back what got lost."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import structlog

from app.domain.jobs import JobKind, JobRef
from app.ports import Services
from app.store import jobs

log = structlog.get_logger()

AT_ONCE: Final = 200
"""Jobs of a kind that may wait for a worker at once. The rest waits in Postgres, where nothing gets lost."""

LOST_AFTER: Final = timedelta(seconds=10)
"""A message that nobody took for so long is taken for lost. One that was only slow turns out stale."""


async def dispatch_jobs(services: Services) -> list[tuple[JobKind, JobRef]]:
    """The jobs that are due now, queued in one commit. Deliver each; one that is not delivered is swept back."""
    async with services.db.single("relay.dispatch") as conn:
        return await jobs.queue_due(conn, at_once=AT_ONCE)


async def sweep_jobs(services: Services) -> int:
    """Put back jobs whose message or worker got lost. How many."""
    async with services.db.transaction("relay.sweep") as conn:
        lost = await jobs.sweep_lost(conn, queued_for=LOST_AFTER)
    if lost:
        log.warning("jobs.swept", count=lost)
    return lost
