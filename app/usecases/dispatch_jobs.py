"""Move due jobs to "queued" and hand them out; put back what got lost."""

from __future__ import annotations

from collections.abc import Mapping
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


async def dispatch_jobs(
    services: Services, room: Mapping[JobKind, int] | None = None, *, at_once: int = AT_ONCE
) -> list[tuple[JobKind, JobRef]]:
    """Queue jobs that are due now in one commit, and return them: of the kinds of ``room`` as many as it has.

    Deliver each; one that is not delivered is swept back.
    """
    async with services.db.single("relay.dispatch") as conn:
        return await jobs.queue_due(conn, at_once=at_once, room=room)


async def sweep_jobs(services: Services) -> int:
    """Put back jobs whose message or worker got lost. How many."""
    async with services.db.transaction("relay.sweep") as conn:
        lost = await jobs.sweep_lost(conn, queued_for=LOST_AFTER)
    if lost:
        log.warning("jobs.swept", count=lost)
    return lost
