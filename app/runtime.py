"""Open everything a process needs, once, and close it in order."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final, Protocol

import asyncpg
import msgspec
import structlog
from redis.asyncio import Redis
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_exponential

from app.gateways.redis_client import connect
from app.gateways.redis_limits import RedisRateLimits
from app.gateways.redis_locks import RedisOrderLocks
from app.gateways.redis_wakeup import RedisWakeup
from app.gateways.stripe_gateway import StripeGateway
from app.ports import Commerce, Connection, Services, Unavailable
from app.settings import DatabasePooler, Settings
from app.store.database import PostgresDatabase
from app.store.examine import unusable
from app.store.migrate import pending_in

log = structlog.get_logger()

_DATABASE_PATIENCE: Final = 30.0
"""Seconds that a starting database has."""


class CheckedCommerce(Commerce, Protocol):
    """A shop that can tell whether its tables are what it takes them for."""

    async def verify(self, conn: Connection) -> None:
        """Raises an error that names what is missing."""
        ...


class Runtime(msgspec.Struct, frozen=True, kw_only=True):
    """The services, and what only entry points need beside them."""

    services: Services
    wakeup: RedisWakeup
    limits: RedisRateLimits


class NotReady(Exception):
    """The process cannot start: the database does not answer, or lacks tables of this version."""


@asynccontextmanager
async def open_runtime(settings: Settings, commerce: CheckedCommerce) -> AsyncIterator[Runtime]:
    """Connect, check both schemas, and hand out the services.

    Waits up to 30 s for a database that is still starting. Raises ``NotReady`` or the shop's own error
    when tables are not as expected. A Redis that is down stops nothing.
    """
    async with AsyncExitStack() as stack:
        db = await _open_database(settings)
        stack.push_async_callback(db.close)
        try:
            async with db.transaction("start.verify") as conn:
                await _verify(conn, commerce)
        except Unavailable as error:
            raise NotReady(str(error)) from error
        redis: Redis = connect(settings.redis_url)
        stack.push_async_callback(redis.aclose)
        gateway = StripeGateway.open(settings.stripe_api_key or "sk_not_set", settings.stripe_api_base)
        stack.push_async_callback(gateway.close)
        wakeup = RedisWakeup(redis)
        services = Services(
            db=db,
            commerce=commerce,
            gateway=gateway,
            locks=RedisOrderLocks(redis),
            wakeup=wakeup,
            policy=settings.policy,
        )
        yield Runtime(services=services, wakeup=wakeup, limits=RedisRateLimits(redis))


async def _verify(conn: Connection, commerce: CheckedCommerce) -> None:
    try:
        missing = await pending_in(conn)
    except asyncpg.InsufficientPrivilegeError as error:
        message = f"this role cannot use schema grace ({error}): run medusa-grace migrate --grants ROLE"
        raise NotReady(message) from error
    if missing:
        message = f"the database lacks {', '.join(missing)}: run medusa-grace migrate"
        raise NotReady(message)
    denied = await unusable(conn)
    if denied:
        raise NotReady(
            "\n  ".join(["this role cannot use schema grace: run medusa-grace migrate --grants ROLE", *denied])
        )
    await commerce.verify(conn)


async def _open_database(settings: Settings) -> PostgresDatabase:
    retrying = AsyncRetrying(
        retry=retry_if_exception_type((OSError, asyncpg.CannotConnectNowError, asyncpg.TooManyConnectionsError)),
        wait=wait_exponential(multiplier=0.2, max=2),
        stop=stop_after_delay(_DATABASE_PATIENCE),
        reraise=True,
        before_sleep=lambda state: log.warning("database.waiting", attempt=state.attempt_number),
    )
    try:
        return await retrying(
            PostgresDatabase.open,
            settings.database_url,
            max_size=settings.database_pool_size,
            pooled=settings.database_pooler is DatabasePooler.TRANSACTION,
        )
    except (OSError, asyncpg.PostgresError, ValueError) as error:
        message = f"DATABASE_URL: cannot connect: {type(error).__name__}: {error}"
        raise NotReady(message) from error
