"""Find money on canceled orders, however late it came and whatever wrote its rows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from app.ports import Connection, Services
from app.store import cursors
from app.usecases.schedule_captures import START
from app.usecases.track_payments import OVERLAP

ARRIVED: Final = "money.arrived"
WALK: Final = "money.walk"
WINDOW: Final = 2_000
"""Orders, payments and sessions that are read at a time."""
MAX_READS: Final = 50
_EVER: Final = datetime(2000, 1, 1, tzinfo=UTC)


async def find_arrived_money(services: Services) -> list[str]:
    """Canceled orders that payments or sessions were made for since the last look.

    Ids sort by the clocks of Medusa's hosts, and rows appear at their commit, so that the last ``OVERLAP`` is read
    again; what comes later still is found by ``find_kept_money``.
    """
    found: set[str] = set()
    async with services.db.transaction("adopt.arrived") as conn:
        now: datetime = await conn.fetchval("select now()")
        await cursors.start(conn, ARRIVED, (await watching_since(services, conn)).isoformat())
        position = await cursors.take(conn, ARRIVED)
        if position is None:
            return []
        after = services.reconciliation.money_after(datetime.fromisoformat(position) - OVERLAP)
        for _ in range(MAX_READS):
            arrived = await services.reconciliation.new_money_of_canceled(conn, after=after, limit=WINDOW)
            found.update(arrived.order_ids)
            if arrived.after is None:
                await cursors.move(conn, ARRIVED, now.isoformat())
                break
            after = arrived.after
        else:
            await cursors.move(conn, ARRIVED, min(services.reconciliation.moment_of(after) or now, now).isoformat())
    return sorted(found)


async def find_kept_money(services: Services) -> list[str]:
    """Canceled orders among the next ``WINDOW`` ones that something is held or kept for. Walks round all orders.

    A read costs the same in a shop of any age; how long a round takes grows with it.
    """
    async with services.db.transaction("adopt.walk") as conn:
        await cursors.start(conn, WALK, "")
        position = await cursors.take(conn, WALK)
        if position is None:
            return []
        since = await watching_since(services, conn)
        order_ids, reached = await services.reconciliation.canceled_with_money(
            conn, after=position, window=WINDOW, since=since
        )
        await cursors.move(conn, WALK, reached)
    return list(order_ids)


async def watching_since(services: Services, conn: Connection) -> datetime:
    """When this sidecar began to look after the shop's payments, less an hour for slow clocks of its hosts."""
    start = await cursors.peek(conn, START)
    began = None if start is None else services.discovery.moment_at(start)
    return _EVER if began is None else began - timedelta(hours=1)
