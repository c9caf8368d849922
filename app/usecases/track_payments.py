"""Find new holds and schedule their captures."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import structlog

from app.ports import Connection, Services
from app.store import cursors
from app.usecases.schedule_captures import START, schedule_captures
from app.usecases.track_conversions import track_conversions

log = structlog.get_logger()

CURSOR: Final = "payments"
OVERLAP: Final = timedelta(minutes=2)
"""Payment ids sort by the clocks of Medusa's hosts, and rows appear at their commit: look back this far."""
BATCH: Final = 500


async def start_tracking(services: Services, now: datetime) -> None:
    """On the very first start, begin with the orders that can still be canceled. Older holds stay whose they were."""
    async with services.db.transaction("track.start") as conn:
        position = services.discovery.cursor_at(now - services.policy.grace_period)
        await cursors.start(conn, CURSOR, position)
        await cursors.start(conn, START, position)


async def track_payments(services: Services) -> int:
    """Schedule the captures of holds made since the last look, and of the next drafts that became orders. How many;
    ``BATCH`` or more means there may be more."""
    async with services.db.transaction("track") as conn:
        after = await cursors.take(conn, CURSOR)
        if after is None:
            return 0
        found, reached = await _schedule_captures(services, conn, after, OVERLAP)
        await cursors.move(conn, CURSOR, reached)
    found += await track_conversions(services)
    if found:
        log.info("payments.tracked", count=found)
    return found


async def track_stragglers(services: Services) -> int:
    """Look back over two grace periods and an hour, for holds whose id or commit came late. How many."""
    async with services.db.transaction("track.stragglers") as conn:
        start = await cursors.take(conn, START)
        now: datetime = await conn.fetchval("select now()")
        if start is None:
            return 0
        horizon = services.discovery.cursor_at(now - 2 * services.policy.grace_period - timedelta(hours=1))
        found, _ = await _schedule_captures(services, conn, max(start, horizon), OVERLAP)
    if found:
        log.warning("payments.tracked_late", count=found)
    return found


async def _schedule_captures(services: Services, conn: Connection, after: str, overlap: timedelta) -> tuple[int, str]:
    found, reached = await services.discovery.find_new_authorizations(conn, after=after, overlap=overlap, limit=BATCH)
    await schedule_captures(services, conn, found)
    return len(found), reached
