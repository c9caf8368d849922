"""Rate limits shared between processes, open when Redis is down."""

from __future__ import annotations

import time
from typing import Final

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

WINDOW: Final = 60
"""Seconds."""

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

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._count = redis.register_script(_COUNT)

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
            counts = await self._count(keys=[f"grace:rate:{key}:{window}" for key, _ in counted], args=[WINDOW * 2])
        except (RedisError, OSError) as error:
            log.warning("redis.limit_skipped", error=type(error).__name__)
            return None
        over = any(count > limit for count, (_, limit) in zip(counts, counted, strict=True))
        return WINDOW - int(now % WINDOW) if over else None
