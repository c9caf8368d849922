"""An advisory Redis lock per order, so that workers do not meet at Stripe. Correctness comes from the row locks."""

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
from app.gateways.redis_keys import RedisKeys

_WAIT: Final = 0.5
"""Seconds to wait for a colleague: longer than a void takes, shorter than a worker's patience."""

_NO_EXPIRY: Final = -1
"""What Redis answers to ``PTTL`` of a key that stays until it is deleted."""

log = structlog.get_logger()


class RedisOrderLocks:
    """``app.ports.OrderLocks``."""

    def __init__(self, redis: Redis, keys: RedisKeys) -> None:
        self._redis = redis
        self._keys = keys

    @asynccontextmanager
    async def hold(self, order_id: str) -> AsyncIterator[bool]:
        """See ``app.ports.OrderLocks``. The lock lapses with the lease of the job it protects."""
        name = self._keys.order_lock(order_id)
        lock = Lock(self._redis, name, timeout=LEASE.total_seconds(), sleep=0.02, thread_local=False)
        token = uuid.uuid4().hex
        foreign = False
        try:
            taken = await lock.acquire(blocking_timeout=_WAIT, token=token)
            foreign = not taken and await self._is_foreign(name)
        except (RedisError, OSError) as error:
            # It may have been taken all the same, if only the answer was lost: so it is given back as well.
            log.warning("redis.lock_skipped", order_id=order_id, error=type(error).__name__)
            taken = True
        try:
            yield taken or foreign
        finally:
            if taken:
                await _give_back(lock, token)

    async def _is_foreign(self, name: str) -> bool:
        """Whether the key outlasts a lease, as no lock of a worker does: it is not waited for."""
        left = await self._redis.pttl(name)
        if left != _NO_EXPIRY and left <= LEASE.total_seconds() * 1000:
            return False
        log.warning("redis.lock_foreign", lock=name, expires_in_ms=None if left == _NO_EXPIRY else left)
        return True


async def _give_back(lock: Lock, token: str) -> None:
    """A lock that lapsed, or whose Redis is gone, needs no giving back."""
    try:
        await lock.do_release(token.encode())
    except (LockError, RedisError, OSError):
        log.info("redis.lock_gone", lock=str(lock.name))
