"""Rate limits shared between processes, open when Redis is down."""

from __future__ import annotations

import time
from typing import Final

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

WINDOW: Final = 60
"""Seconds."""

log = structlog.get_logger()


class RedisRateLimits:
    """Counts requests per minute and key."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def reachable(self) -> bool:
        """Whether Redis answers."""
        try:
            return bool(await self._redis.ping())
        except (RedisError, OSError):
            return False

    async def exceeded(self, key: str, limit: int) -> int | None:
        """Count one request against ``key``. Seconds until the next window when ``limit`` is exceeded, else ``None``.

        A limit of 0 counts nothing.
        """
        if not limit:
            return None
        now = time.time()
        name = f"grace:rate:{key}:{int(now // WINDOW)}"
        try:
            async with self._redis.pipeline(transaction=False) as pipe:
                pipe.incr(name)
                pipe.expire(name, WINDOW * 2)
                count, _ = await pipe.execute()
        except (RedisError, OSError) as error:
            log.warning("redis.limit_skipped", error=type(error).__name__)
            return None
        return WINDOW - int(now % WINDOW) if count > limit else None
