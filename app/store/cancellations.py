"""``grace.cancellations``: who canceled an order, when and why."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import msgspec

from app.ports import Connection
from app.store.sql import statement

_ADD: Final = statement("add_cancellation")
_FIND: Final = statement("find_cancellation")
_RECENT: Final = statement("recent_cancellations")
_READ: Final = statement("read_cancellation")


class Cancellation(msgspec.Struct, frozen=True):
    """Who canceled an order, when and why, as far as it was done here."""

    canceled_by: str
    reason: str | None
    canceled_at: datetime


async def add(
    conn: Connection, order_id: str, *, canceled_by: str, reason: str | None, request_id: str, canceled_at: datetime
) -> None:
    """Remember a cancellation of ours. An order that Medusa reopened and lost again keeps the newest."""
    await conn.execute(_ADD, order_id, canceled_by, reason, request_id, canceled_at)


async def made_by_request(conn: Connection, order_id: str, request_id: str) -> bool:
    """Whether that very request canceled the order."""
    return await conn.fetchval(_FIND, order_id, request_id) is not None


async def read(conn: Connection, order_id: str) -> Cancellation | None:
    """The order's cancellation of ours."""
    row = await conn.fetchrow(_READ, order_id)
    return None if row is None else Cancellation(row["canceled_by"], row["reason"], row["canceled_at"])


async def since(conn: Connection, look_back: timedelta) -> list[str]:
    """Orders that we canceled, or whose capture ended, within ``look_back``."""
    return [row["order_id"] for row in await conn.fetch(_RECENT, look_back)]
