"""A knock at the workers' door, by Redis publish and subscribe."""

from __future__ import annotations

import asyncio

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.gateways.redis_client import overhear
from app.gateways.redis_keys import RedisKeys

log = structlog.get_logger()


class RedisWakeup:
    """``app.ports.WorkerWakeup``, and the other side of the door."""

    def __init__(self, redis: Redis, keys: RedisKeys, *, pause: float = 0.02) -> None:
        """``pause``: seconds from one knock to the next. Each has every worker look for jobs once."""
        self._redis = redis
        self._channel = keys.wakeups
        self._pause = pause
        self._knocking = self._again = False
        self._rest: asyncio.Task[None] | None = None
        self._quiet_until = 0.0

    async def wake(self) -> None:
        """See ``app.ports.WorkerWakeup``. Who comes during a knock, or soon after, leaves it to one more afterwards."""
        if not self._knocking and self._wait() <= 0:
            await self._knock()
        else:
            self._again = True
        if self._again and not self._knocking and (self._rest is None or self._rest.done()):
            self._rest = asyncio.create_task(self._knock_again())

    async def close(self) -> None:
        """Knock for those who left it to us."""
        if self._rest is not None:
            await self._rest

    async def _knock_again(self) -> None:
        while self._again and not self._knocking:
            await asyncio.sleep(self._wait())
            await self._knock()

    def _wait(self) -> float:
        return self._quiet_until - asyncio.get_running_loop().time()

    async def _knock(self) -> None:
        self._knocking, self._again = True, False
        try:
            await self._redis.publish(self._channel, b"")
        except (RedisError, OSError) as error:
            log.warning("redis.wakeup_skipped", error=type(error).__name__)
        finally:
            self._knocking = False
            self._quiet_until = asyncio.get_running_loop().time() + self._pause

    async def listen(self, knock: asyncio.Event) -> None:
        """Set ``knock`` at every knock, for ever. While Redis is away the event is simply not set."""
        async for _ in overhear(self._redis, self._channel):
            knock.set()
