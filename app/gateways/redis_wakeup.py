"""Wake the workers after a commit, by Redis publish and subscribe."""

from __future__ import annotations

import asyncio

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.gateways.redis_client import overhear
from app.gateways.redis_keys import RedisKeys

log = structlog.get_logger()


class RedisWakeup:
    """``app.ports.WorkerWakeup``, and the subscription of a worker to it."""

    def __init__(self, redis: Redis, keys: RedisKeys) -> None:
        self._redis = redis
        self._channel = keys.wakeups

    async def wake(self) -> None:
        """See ``app.ports.WorkerWakeup``. A worker that is woken while it looks for jobs looks once more."""
        try:
            await self._redis.publish(self._channel, b"")
        except (RedisError, OSError) as error:
            log.warning("redis.wakeup_skipped", error=type(error).__name__)

    async def listen(self, woken: asyncio.Event) -> None:
        """Set ``woken`` at each message, without end. While Redis is away the event is not set."""
        async for _ in overhear(self._redis, self._channel):
            woken.set()
