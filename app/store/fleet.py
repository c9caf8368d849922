"""Questions about all that is unfinished, each answered by a partial index; and the workers' heartbeat."""

from __future__ import annotations

from typing import Final

import asyncpg

from app.ports import Connection
from app.store.sql import statement

_JOBS: Final = statement("count_jobs")
_INCIDENTS: Final = statement("count_incidents")
_ALERTS: Final = statement("count_alerts")
_BEAT: Final = statement("beat")
_LAST_BEAT: Final = statement("last_beat")

WORKER: Final = "worker"


async def jobs(conn: Connection) -> list[asyncpg.Record]:
    """``kind``, ``state``, ``number``, ``oldest_due`` (seconds, or null)."""
    return await conn.fetch(_JOBS)


async def incidents(conn: Connection) -> list[asyncpg.Record]:
    """``kind`` and ``number`` of open ones."""
    return await conn.fetch(_INCIDENTS)


async def alerts(conn: Connection) -> list[asyncpg.Record]:
    """``channel``, ``number`` and ``oldest`` (seconds) of those not delivered."""
    return await conn.fetch(_ALERTS)


async def beat(conn: Connection, name: str = WORKER) -> None:
    """A process of that kind is at work now."""
    await conn.execute(_BEAT, name)


async def last_beat(conn: Connection, name: str = WORKER) -> float | None:
    """Seconds since one of them was last at work; ``None`` when none ever was."""
    seconds = await conn.fetchval(_LAST_BEAT, name)
    return None if seconds is None else max(float(seconds), 0.0)


async def read_only(conn: Connection) -> bool:
    """Whether transactions cannot write: a standby, or a database whose provider closed it for a full disk."""
    return bool(await conn.fetchval("select current_setting('transaction_read_only') = 'on'"))
