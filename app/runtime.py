"""Open everything a process needs, once, and close it in order."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final, Protocol

import asyncpg
import msgspec
import structlog
from redis.asyncio import Redis
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_delay, wait_exponential

from app.gateways.alert_webhook import AlertWebhook
from app.gateways.redis_client import connect, try_redis
from app.gateways.redis_keys import RedisKeys
from app.gateways.redis_limits import RedisRateLimits
from app.gateways.redis_locks import RedisOrderLocks
from app.gateways.redis_stripe_budget import RedisStripeBudget
from app.gateways.redis_void_news import RedisVoidNews
from app.gateways.redis_wakeup import RedisWakeup
from app.gateways.stripe_gateway import StripeGateway
from app.http.metrics import FleetFigures, MetricsServer
from app.meters import metrics_app
from app.operator_error import OperatorError
from app.ports import (
    BackOffice,
    Connection,
    Discovery,
    Events,
    Inventory,
    Orders,
    Payments,
    Reconciliation,
    Services,
    Unavailable,
)
from app.schema_checks import unusable
from app.settings import Settings
from app.settings_table import DatabasePooler
from app.store import fleet, installation
from app.store.database import PostgresDatabase
from app.store.migrate import pending_in
from app.store.sql import SQL
from app.telling import AlertChannel
from app.tracing import Tracing, open_tracer

log = structlog.get_logger()

_DATABASE_PATIENCE: Final = 30.0
"""Seconds that a starting database has."""


BackendProbe = Callable[[str, str | None], Awaitable[tuple[str | None, str | None]]]
"""Of an address and a key: why the shop's program refuses them, and why it is away."""


class Shop(Protocol):
    """The ports of a shop, which can tell whether its tables are what it takes them for."""

    @property
    def orders(self) -> Orders: ...

    @property
    def events(self) -> Events: ...

    @property
    def inventory(self) -> Inventory: ...

    @property
    def discovery(self) -> Discovery: ...

    @property
    def reconciliation(self) -> Reconciliation: ...

    @property
    def back_office(self) -> BackOffice: ...

    @property
    def payments(self) -> Payments: ...

    async def require_shop(self, conn: Connection) -> None:
        """Raises an error that says so where the shop's tables are not there at all."""
        ...

    async def verify(self, conn: Connection) -> None:
        """Raises an error that names what is missing."""
        ...


class Runtime(msgspec.Struct, frozen=True, kw_only=True):
    """The services, and what only entry points need beside them."""

    services: Services
    wakeup: RedisWakeup
    void_news: RedisVoidNews
    limits: RedisRateLimits
    keys: RedisKeys


class NotReady(OperatorError):
    """The process cannot start: the database does not answer, or lacks tables of this version."""


@asynccontextmanager
async def open_runtime(settings: Settings, shop: Shop) -> AsyncIterator[Runtime]:
    """Connect, check both schemas, and hand out the services.

    Waits up to 30 s for a database that is still starting. Raises ``NotReady`` or the shop's own error
    when tables are not as expected. A Redis that is down stops nothing; one that refuses these settings does.
    """
    async with AsyncExitStack() as stack:
        db = await _open_database(settings)
        stack.push_async_callback(db.close)
        try:
            async with db.transaction("start.verify") as conn:
                await _verify(conn, shop)
                keys = RedisKeys(await installation.read(conn))
        except (Unavailable, installation.NoInstallation) as error:
            raise NotReady(str(error)) from error
        await check_redis("REDIS_URL", settings.redis_url, keys.start, write=True)
        redis: Redis = connect(settings.redis_url)
        stack.push_async_callback(redis.aclose)
        tracing = _open_tracing(stack, settings)
        key = settings.stripe_api_key or "sk_not_set"
        budget = RedisStripeBudget(redis, keys, settings.stripe_requests_per_second)
        gateway = StripeGateway.open(key, settings.stripe_api_base, tracing=tracing, budget=budget)
        stack.push_async_callback(gateway.close)
        wakeup = RedisWakeup(redis, keys)
        void_news = RedisVoidNews(redis, keys)
        services = Services(
            db=db,
            events=shop.events,
            inventory=shop.inventory,
            discovery=shop.discovery,
            reconciliation=shop.reconciliation,
            back_office=shop.back_office,
            payments=shop.payments,
            orders=shop.orders,
            gateway=gateway,
            locks=RedisOrderLocks(redis, keys),
            wakeup=wakeup,
            void_news=void_news,
            stripe_budget=budget,
            policy=settings.policy,
            tracing=tracing,
            alert_channels=_open_channels(stack, settings),
        )
        yield Runtime(
            services=services, wakeup=wakeup, void_news=void_news, limits=RedisRateLimits(redis, keys), keys=keys
        )


async def check_redis(name: str, url: str, key: str, *, write: bool) -> None:
    """Raise ``NotReady`` where Redis answers that setting ``name`` is wrong. A Redis that is away is a warning."""
    refused, away = await try_redis(url, key, write=write)
    if refused is not None:
        message = f"{name}: {refused}"
        raise NotReady(message)
    if away is not None:
        log.warning("redis.away", setting=name, error=away)


async def check_backend(url: str, secret_api_key: str | None, ask: BackendProbe) -> None:
    """Raise ``NotReady`` where Medusa answers that its address or its key is wrong. A Medusa that is away is a
    warning."""
    refused, away = await ask(url, secret_api_key)
    if refused is not None:
        raise NotReady(refused)
    if away is not None:
        log.warning("medusa.away", setting="MEDUSA_BACKEND_URL", error=away)


async def _verify(conn: Connection, shop: Shop) -> None:
    if await fleet.read_only(conn):
        raise NotReady("DATABASE_URL: the database is read-only: a standby, or default_transaction_read_only is on")
    await shop.require_shop(conn)
    try:
        missing = await pending_in(conn)
    except asyncpg.InsufficientPrivilegeError as error:
        message = f"this role cannot use schema grace ({error}): run medusa-grace migrate --grants ROLE"
        raise NotReady(message) from error
    if missing:
        message = f"the database lacks {', '.join(missing)}: run medusa-grace migrate"
        raise NotReady(message)
    denied = await unusable(conn, SQL)
    if any("permission denied" in problem for problem in denied):
        raise NotReady(
            "\n  ".join(["this role cannot use schema grace: run medusa-grace migrate --grants ROLE", *denied])
        )
    if denied:
        raise NotReady("\n  ".join(["schema grace lacks what its migrations made: restore it from a backup", *denied]))
    await shop.verify(conn)


async def _open_database(settings: Settings) -> PostgresDatabase:
    retrying = AsyncRetrying(
        retry=retry_if_exception_type((OSError, asyncpg.CannotConnectNowError, asyncpg.TooManyConnectionsError)),
        wait=wait_exponential(multiplier=0.2, max=2),
        stop=stop_after_delay(_DATABASE_PATIENCE),
        reraise=True,
        before_sleep=_say_why,
    )
    try:
        return await retrying(
            PostgresDatabase.open,
            settings.database_url,
            max_size=settings.database_pool_size,
            pooled=settings.database_pooler is DatabasePooler.TRANSACTION,
        )
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        reason = str(error) or "no answer within 5 s: expected a Postgres there"
        message = f"DATABASE_URL: cannot connect: {type(error).__name__}: {reason}"
        raise NotReady(message) from error
    except (ValueError, OverflowError) as error:  # their words may repeat a password
        message = f"DATABASE_URL: cannot connect: {type(error).__name__}"
        raise NotReady(message) from error


def _open_channels(stack: AsyncExitStack, settings: Settings) -> dict[str, AlertChannel]:
    channels: dict[str, AlertChannel] = {}
    if settings.watch.alert_webhook_url is not None:
        webhook = AlertWebhook(settings.watch.alert_webhook_url, settings.watch.alert_webhook_secrets)
        stack.push_async_callback(webhook.close)
        channels["webhook"] = webhook
    if settings.watch.sentry_dsn is not None:
        from app.gateways.sentry_channel import SentryChannel  # an extra

        try:
            sentry = SentryChannel(settings.watch.sentry_dsn)
        except ValueError as error:  # BadDsn, whose words repeat the DSN
            raise NotReady("SENTRY_DSN is not one of Sentry's: expected https://key@host/project") from error
        stack.push_async_callback(sentry.close)
        channels["sentry"] = sentry
    return channels


def _say_why(state: RetryCallState) -> None:
    error = state.outcome and state.outcome.exception()
    log.warning("database.waiting", attempt=state.attempt_number, error=f"{type(error).__name__}: {error}")


def _open_tracing(stack: AsyncExitStack, settings: Settings) -> Tracing:
    if settings.watch.traces_lack_extra:
        log.warning("traces.off", reason="OTEL_EXPORTER_OTLP_ENDPOINT is set, but the extra is missing")
    if not settings.watch.traces:
        return Tracing()
    tracer, close = open_tracer()
    stack.callback(close)
    return Tracing(tracer)


def make_metrics(
    settings: Settings, services: Services | None = None, alive: Callable[[], str | None] = lambda: None
) -> MetricsServer | None:
    """What answers on ``METRICS_LISTEN``, not listening yet; ``None`` when that is not set. With ``services`` it tells
    the figures of the whole fleet too. To be made on the event loop that ``services`` work on."""
    if settings.watch.metrics_listen is None:
        return None
    read_fleet = None if services is None else FleetFigures(services).read
    app = metrics_app(shared_dir=settings.watch.metrics_dir, read_fleet=read_fleet)
    return MetricsServer(settings.watch.metrics_listen, app, alive)
