"""How the schema is changed while a shop works: short turns for what others hold, and an end to the patience."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import asyncpg
import structlog

LOCK_TIMEOUT: Final = "1s"
"""How long a change may stand in the queue for a table: whoever comes after it waits as long."""
PATIENCE: Final = 60.0
"""Seconds in which a change must be had, in tries of the above."""
IN_THE_WAY: Final[tuple[type[asyncpg.PostgresError], ...]] = (
    asyncpg.LockNotAvailableError,
    asyncpg.DeadlockDetectedError,
)
_PAUSE: Final = 0.5

log = structlog.get_logger()
Made = TypeVar("Made")


class KeptWaitingError(Exception):
    """Others were in the way for longer than the patience lasts. The message is what the last try met."""


async def in_turns(
    what: str,
    attempt: Callable[[], Awaitable[Made]],
    patience: float,
    *,
    passing: tuple[type[asyncpg.PostgresError], ...] = IN_THE_WAY,
) -> Made:
    """What ``attempt`` gives, tried again while it fails with an error that is ``passing``."""
    give_up_at = time.monotonic() + patience
    while True:
        try:
            return await attempt()
        except passing as error:
            if time.monotonic() > give_up_at:
                raise KeptWaitingError(str(error)) from error
            log.info("migrate.waiting", migration=what, error=str(error))
            await asyncio.sleep(_PAUSE)
