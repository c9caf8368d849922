"""A knock at the workers' door, by Redis publish and subscribe."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

CHANNEL: Final = "grace:wake"

log = structlog.get_logger()


class RedisWakeup:
    """``app.ports.WorkerWakeup``, and the other side of the door."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def wake(self) -> None:
        """See ``app.ports.WorkerWakeup``."""
        try:
            await self._redis.publish(CHANNEL, b"")
        except (RedisError, OSError) as error:
            log.warning("redis.wakeup_skipped", error=type(error).__name__)

    async def listen(self, knock: asyncio.Event) -> None:
        """Set ``knock`` at every knock, for ever. While Redis is away the event is simply not set."""
        while True:
            try:
                async with self._redis.pubsub(ignore_subscribe_messages=True) as door:
                    await door.subscribe(CHANNEL)
                    while True:
                        if await door.get_message(timeout=5) is not None:
                            knock.set()
            except (RedisError, OSError):
                await asyncio.sleep(1)
