"""Find drafts that became orders: record when, and schedule captures of holds that are as old as the draft."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from app.ports import NewAuthorization, Services
from app.store import conversions, cursors
from app.usecases.schedule_captures import START, schedule_captures

CURSOR: Final = "orders.conversions"
WINDOW: Final = 100
"""Orders that are read at a time."""
SETTLED: Final = timedelta(minutes=1)
"""A conversion is recorded when it is this old: Medusa takes one back whose event it could not emit."""


async def track_conversions(services: Services) -> int:
    """Read the next ``WINDOW`` orders. How many captures were scheduled. Walks round all orders.

    An order that could still be canceled when the tracking first began is tracked, however old its hold is. A read
    costs the same in a shop of any age; how long a round takes grows with it.
    """
    async with services.db.transaction("track.conversions") as conn:
        await cursors.start(conn, CURSOR, "")
        position, start = await cursors.take(conn, CURSOR), await cursors.peek(conn, START)
        if position is None or start is None:
            return 0
        now: datetime = await conn.fetchval("select now()")
        found = await services.discovery.find_conversions(conn, after=position, window=WINDOW)
        settled = {order_id: at for order_id, at in found.placed_at.items() if at <= now - SETTLED}
        await conversions.record(conn, settled)
        ours = [new for new in found.authorizations if _is_ours(services, new, start)]
        await schedule_captures(services, conn, ours)
        await cursors.move(conn, CURSOR, found.reached)
    return len(ours)


def _is_ours(services: Services, new: NewAuthorization, start: str) -> bool:
    since = services.discovery.moment_at(start)
    return new.payment_id > start or since is None or new.placed_at >= since
