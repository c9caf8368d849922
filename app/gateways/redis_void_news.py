"""What became of a void, from the workers to the requests that wait for it, by Redis publish and subscribe."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.gateways.redis_client import overhear
from app.gateways.redis_keys import RedisKeys

log = structlog.get_logger()


class RedisVoidNews:
    """``app.ports.VoidNews``, and the ear that an API process needs to hear it."""

    def __init__(self, redis: Redis, keys: RedisKeys) -> None:
        self._redis = redis
        self._channel = keys.voids
        self._waiting: defaultdict[str, set[asyncio.Event]] = defaultdict(set)

    async def tell(self, order_id: str) -> None:
        """See ``app.ports.VoidNews``."""
        try:
            await self._redis.publish(self._channel, order_id)
        except (RedisError, OSError) as error:
            log.warning("redis.news_skipped", error=type(error).__name__)

    @contextmanager
    def awaited(self, order_id: str) -> Iterator[asyncio.Event]:
        """See ``app.ports.VoidNews``."""
        news = asyncio.Event()
        self._waiting[order_id].add(news)
        try:
            yield news
        finally:
            self._waiting[order_id].discard(news)
            if not self._waiting[order_id]:
                del self._waiting[order_id]

    @asynccontextmanager
    async def heard(self) -> AsyncIterator[None]:
        """Hear what is told, within the block."""
        task = asyncio.create_task(self._listen())
        try:
            yield
        finally:
            while not task.done():  # again and again: a cancellation can be lost in a library
                task.cancel()
                await asyncio.wait([task], timeout=0.5)

    async def _listen(self) -> None:
        async for order_id in overhear(self._redis, self._channel):
            for news in self._waiting.get(order_id.decode(errors="replace"), ()):
                news.set()
