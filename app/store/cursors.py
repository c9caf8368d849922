"""``grace.cursors``: how far a search came."""

from __future__ import annotations

from typing import Final

from app.ports import Connection
from app.store.sql import statement

_READ: Final = statement("read_cursor")
_WRITE: Final = statement("write_cursor")
_START: Final = statement("start_cursor")


async def start(conn: Connection, name: str, position: str) -> None:
    """Begin at ``position``, unless the search has begun before."""
    await conn.execute(_START, name, position)


async def take(conn: Connection, name: str) -> str | None:
    """The position, locked until the commit; ``None`` when another worker is searching."""
    position = await conn.fetchval(_READ, name)
    return None if position is None else str(position)


async def move(conn: Connection, name: str, position: str) -> None:
    """The search came as far as ``position``."""
    await conn.execute(_WRITE, name, position)
