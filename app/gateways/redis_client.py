"""A Redis client that gives up at once: whatever Redis does for us, Postgres can do without."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from typing import Final

import redis
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    ClusterDownError,
    InvalidResponse,
    MasterDownError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TryAgainError,
)

from app.gateways.redis_encryption import encryption_problem

PATIENCE: Final = 0.2
"""Seconds to connect and to answer. redis-py's own defaults wait 4 s for a refused and over 30 s for a hung server."""


_START_TIMEOUT: Final = 1.0
"""Seconds that Redis has at the start to answer: more than later, since nothing waits for it."""

_PASSING: Final = (ReadOnlyError, OutOfMemoryError, ClusterDownError, MasterDownError, TryAgainError)
_PASSING_WORDS: Final = ("MISCONF", "BUSY", "LOADING", "NOREPLICAS", "UNBLOCKED")

_TRY_SCRIPT: Final = "redis.call('set', KEYS[1], '', 'px', 1000) return redis.call('del', KEYS[1])"
_LOOK_SCRIPT: Final = "return redis.call('exists', KEYS[1])"


def refusal(error: Exception) -> str | None:
    """Why Redis will not serve with these settings; ``None`` when it is away, or in a state that passes.

    A wrong password, a missing right, an unknown database and a certificate that does not fit are answers.
    """
    if isinstance(error, AuthenticationError | AuthorizationError):
        return _words(error)
    if isinstance(error, ResponseError):
        return None if isinstance(error, _PASSING) or str(error).startswith(_PASSING_WORDS) else _words(error)
    if isinstance(error, InvalidResponse):
        return "what answers there is not Redis"
    if isinstance(error, RedisError | OSError):
        return _tls_problem(error)
    return f"no client can be made for it: {type(error).__name__}"


def _words(error: Exception) -> str:
    """Redis's own, without the arguments of a command that it may repeat."""
    return str(error).splitlines()[0].partition(", with args")[0]


def _tls_problem(error: BaseException) -> str | None:
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ssl.SSLCertVerificationError):
            return f"its certificate is not accepted: {seen.verify_message}"
        if isinstance(seen, ssl.SSLError) and seen.reason in {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"}:
            return "it does not speak TLS: write redis:// instead of rediss://"
        seen = seen.__cause__ or seen.__context__
    return None


async def try_redis(url: str, key: str, *, write: bool) -> tuple[str | None, str | None]:
    """Try, as the processes will, to connect and to run a script on ``key``: why it is refused, and why it is away.

    Both are ``None`` when Redis does as it is asked. ``write`` also sets the key and publishes on it.
    """
    client: Redis | None = None
    try:
        redis.ConnectionPool.from_url(url).make_connection()
        client = connect(url, timeout=_START_TIMEOUT)
        await client.eval(_TRY_SCRIPT if write else _LOOK_SCRIPT, 1, key)
        if write:
            await client.publish(key, b"")
            async with client.pubsub() as pubsub:
                await pubsub.subscribe(key)
                await pubsub.get_message(timeout=_START_TIMEOUT)
    except Exception as error:  # noqa: BLE001 - an option that a client has not is a TypeError
        reason = refusal(error)
        if reason is None or isinstance(error, InvalidResponse):
            reason = await encryption_problem(url) or reason
        return (reason, None) if reason is not None else (None, type(error).__name__)
    finally:
        if client is not None:
            await client.aclose()
    return None, None


def connect(url: str, *, timeout: float = PATIENCE) -> Redis:
    """A client for ``url``; it connects at its first use."""
    return Redis.from_url(
        url,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        retry=Retry(NoBackoff(), 0),
        health_check_interval=10,
    )


async def overhear(redis: Redis, channel: str) -> AsyncIterator[bytes]:
    """Yield what is published on the channel. While Redis is away nothing is heard, and it is not made up for.

    Without tenacity, which cannot call a generator again from inside of it.
    """
    while True:
        try:
            async with redis.pubsub(ignore_subscribe_messages=True) as ear:
                await ear.subscribe(channel)
                while True:
                    if (message := await ear.get_message(timeout=5)) is not None:
                        yield message["data"]
        except (RedisError, OSError):
            await asyncio.sleep(1)
