"""A Redis client that gives up at once: whatever Redis does for us, Postgres can do without."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

PATIENCE: Final = 0.2
"""Seconds to connect and to answer. redis-py's own defaults wait 4 s for a refused and over 30 s for a hung server."""


def connect(url: str) -> Redis:
    """A client for ``url``; it connects at its first use."""
    return Redis.from_url(
        url,
        socket_timeout=PATIENCE,
        socket_connect_timeout=PATIENCE,
        retry=Retry(NoBackoff(), 0),
        health_check_interval=10,
    )


async def overhear(redis: Redis, channel: str) -> AsyncIterator[bytes]:
    """What is published on the channel, for ever. While Redis is away nothing is heard, and it is not made up for."""
    while True:
        try:
            async with redis.pubsub(ignore_subscribe_messages=True) as ear:
                await ear.subscribe(channel)
                while True:
                    if (message := await ear.get_message(timeout=5)) is not None:
                        yield message["data"]
        except (RedisError, OSError):
            await asyncio.sleep(1)
