"""``grace.cursors``: how far a search came."""

from __future__ import annotations

import time
from typing import Final

import structlog

from app.ports import Connection
from app.store.sql import statement

_READ: Final = statement("read_cursor")
_PEEK: Final = statement("peek_cursor")
_WRITE: Final = statement("write_cursor")
_START: Final = statement("start_cursor")

LOCKED_TOO_LONG: Final = 60.0
"""Seconds. A transaction of a worker ends within ten, whatever becomes of the worker."""

_locked_since: Final[dict[str, float]] = {}

log = structlog.get_logger()


async def start(conn: Connection, name: str, position: str) -> None:
    """Begin at ``position``, unless the search has begun before."""
    await conn.execute(_START, name, position)


async def take(conn: Connection, name: str) -> str | None:
    """The position, locked until the commit; ``None`` when another worker is searching.

    A worker's search lasts seconds. A cursor that is locked for longer is logged: nothing is searched meanwhile.
    """
    position = await conn.fetchval(_READ, name)
    now = time.monotonic()
    if position is not None:
        _locked_since.pop(name, None)
        return str(position)
    locked_for = now - _locked_since.setdefault(name, now)
    if locked_for > LOCKED_TOO_LONG:
        log.warning("cursor.locked", cursor=name, seconds=round(locked_for))
    return None


async def peek(conn: Connection, name: str) -> str | None:
    """The position, without a lock; ``None`` before the search has begun."""
    position = await conn.fetchval(_PEEK, name)
    return None if position is None else str(position)


async def move(conn: Connection, name: str, position: str) -> None:
    """The search came as far as ``position``."""
    await conn.execute(_WRITE, name, position)
