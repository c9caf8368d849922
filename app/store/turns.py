"""How the schema is changed while a shop works: short turns for what others hold, and an end to the patience."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import asyncpg
import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_delay, wait_fixed

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

    async def make() -> Made:  # tenacity awaits what a coroutine function returns, and no other's
        return await attempt()

    def say(state: RetryCallState) -> None:
        log.info("migrate.waiting", migration=what, error=str(state.outcome and state.outcome.exception()))

    retrying = AsyncRetrying(
        retry=retry_if_exception_type(passing),
        wait=wait_fixed(_PAUSE),
        stop=stop_after_delay(patience),
        before_sleep=say,
        reraise=True,
    )
    try:
        return await retrying(make)
    except passing as error:
        raise KeptWaitingError(str(error)) from error
