"""``grace.cancellations``: who canceled an order, when and why."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from app.domain.receipt import CancellationRecord
from app.ports import Connection
from app.store.sql import statement

_FIND: Final = statement("find_cancellation")
_READ: Final = statement("read_cancellation")
_RECENT: Final = statement("recent_cancellations")


async def made_by_request(conn: Connection, order_id: str, request_id: str) -> bool:
    """Whether that very request canceled the order."""
    return await conn.fetchval(_FIND, order_id, request_id) is not None


async def read(conn: Connection, order_id: str) -> CancellationRecord | None:
    """What was written down about the newest cancellation of ours; ``None`` for one of somebody else's."""
    row = await conn.fetchrow(_READ, order_id)
    return None if row is None else CancellationRecord(**row)


async def since(conn: Connection, look_back: timedelta) -> list[str]:
    """Orders that we canceled, or whose capture ended, within ``look_back``."""
    return [row["order_id"] for row in await conn.fetch(_RECENT, look_back)]
