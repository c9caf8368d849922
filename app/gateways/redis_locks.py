"""A Redis lock per order. Courtesy between workers: the rows are the law."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import structlog
from redis.asyncio import Redis
from redis.asyncio.lock import Lock
from redis.exceptions import LockError, RedisError

from app.domain.jobs import LEASE

_WAIT: Final = 0.5
"""Seconds to wait for a colleague: longer than a void takes, shorter than a worker's patience."""

log = structlog.get_logger()


class RedisOrderLocks:
    """``app.ports.OrderLocks``."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    @asynccontextmanager
    async def hold(self, order_id: str) -> AsyncIterator[bool]:
        """See ``app.ports.OrderLocks``. The lock lapses with the lease of the job it protects."""
        lock = Lock(
            self._redis, f"grace:order:{order_id}", timeout=LEASE.total_seconds(), sleep=0.02, thread_local=False
        )
        token = uuid.uuid4().hex
        try:
            taken = await lock.acquire(blocking_timeout=_WAIT, token=token)
        except (RedisError, OSError) as error:
            # It may have been taken all the same, if only the answer was lost: so it is given back as well.
            log.warning("redis.lock_skipped", order_id=order_id, error=type(error).__name__)
            taken = True
        try:
            yield taken
        finally:
            if taken:
                await _give_back(lock, token)


async def _give_back(lock: Lock, token: str) -> None:
    """A lock that lapsed, or whose Redis is gone, needs no giving back."""
    try:
        await lock.do_release(token.encode())
    except (LockError, RedisError, OSError):
        log.info("redis.lock_gone", lock=str(lock.name))
