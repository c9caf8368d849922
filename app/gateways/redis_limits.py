"""Rate limits shared between processes; while Redis is away each process counts for itself."""

from __future__ import annotations

import asyncio
import time
from typing import Final

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.gateways.local_limits import LocalRateLimits
from app.gateways.redis_keys import RedisKeys

WINDOW: Final = 60
"""Seconds."""
_MAX_LOGGED: Final = 10_000

_COUNT: Final = """
local counts = {}
for place, name in ipairs(KEYS) do
    counts[place] = redis.call('incr', name)
    if counts[place] == 1 then
        redis.call('expire', name, ARGV[1])
    end
end
return counts
"""

log = structlog.get_logger()


class RedisRateLimits:
    """Counts requests per minute and key."""

    def __init__(self, redis: Redis, keys: RedisKeys) -> None:
        self._redis = redis
        self._keys = keys
        self._script = redis.register_script(_COUNT)
        self._gathered: list[str] | None = None
        self._logged: set[str] = set()
        self._logged_in = 0
        self._trip: asyncio.Task[list[int]] | None = None
        self._local = LocalRateLimits()

    async def reachable(self) -> bool:
        """Whether Redis answers."""
        try:
            return bool(await self._redis.ping())
        except (RedisError, OSError):
            return False

    async def exceeded(self, *budgets: tuple[str, int]) -> int | None:
        """Count one request against every key. Seconds until the next window when a limit is exceeded, else ``None``.

        A limit of 0 counts nothing.
        """
        counted = [(key, limit) for key, limit in budgets if limit]
        if not counted:
            return None
        now = time.time()
        window = int(now // WINDOW)
        try:
            counts = await self._count([self._keys.rate(key, window) for key, _ in counted])
        except (RedisError, OSError) as error:
            log.warning("redis.limit_skipped", error=type(error).__name__)
            over = self._local.exceeded(counted, window)
        else:
            over = [key for count, (key, limit) in zip(counts, counted, strict=True) if count > limit]
        self._log_once(over, window)
        return WINDOW - int(now % WINDOW) if over else None

    def _log_once(self, keys: list[str], window: int) -> None:
        """A line for each key and window, however many requests are refused."""
        if window != self._logged_in or len(self._logged) > _MAX_LOGGED:
            self._logged_in, self._logged = window, set()
        for key in set(keys) - self._logged:
            self._logged.add(key)
            log.warning("limit.exceeded", key=key)

    async def _count(self, names: list[str]) -> list[int]:
        """One round trip at a time, with all that came during the last: overload opens no connection for each request,
        and a Redis that hangs delays none by more than two time limits."""
        if self._gathered is None:
            self._gathered = []
            self._trip = asyncio.create_task(self._ask(self._gathered, after=self._trip))
        assert self._trip is not None
        place = len(self._gathered)
        self._gathered += names
        counts = await asyncio.shield(self._trip)  # others wait for it too
        return counts[place : place + len(names)]

    async def _ask(self, names: list[str], *, after: asyncio.Task[list[int]] | None) -> list[int]:
        if after is not None:
            await asyncio.wait([after])
        self._gathered = None
        counts: list[int] = await self._script(keys=names, args=[WINDOW * 2])
        return counts
