"""The ports of the shop, implemented for Medusa v2."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Final, Self

import httpx
import structlog
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from app.domain.cancellation import NewCancellation
from app.domain.jobs import Job, JobRef
from app.domain.order import Order, Payment, PaymentSession
from app.domain.receipt import OrderSheet
from app.ports import (
    BackOffice,
    Connection,
    Discovery,
    Events,
    Intent,
    Inventory,
    Reconciliation,
)
from plugins.medusa_bridge import at_once, orders, payments
from plugins.medusa_bridge.backoffice import MedusaBackOffice
from plugins.medusa_bridge.config import BridgeConfig, Locking
from plugins.medusa_bridge.discovery import MedusaDiscovery
from plugins.medusa_bridge.events import MedusaEvents
from plugins.medusa_bridge.findings import Examiner
from plugins.medusa_bridge.providers import ServedProviders
from plugins.medusa_bridge.reconciliation import MedusaReconciliation
from plugins.medusa_bridge.releases import require_shop
from plugins.medusa_bridge.schema import verify_schema
from plugins.medusa_bridge.sqlfile import statement
from plugins.medusa_bridge.stock import MedusaInventory
from plugins.medusa_bridge.survey import survey_events, survey_locks

log = structlog.get_logger()

_ORDER_EXISTS: Final = statement("order_exists")
_REDIS_PATIENCE: Final = 2.0
_HTTP_PATIENCE: Final = 8.0


class MedusaBridge(Examiner):
    """The shop's tables, its locks, its event bus and its admin API."""

    def __init__(
        self,
        config: BridgeConfig,
        redis: Redis | None,
        http: httpx.AsyncClient | None,
        lock_redis: Redis | None = None,
    ) -> None:
        """``redis`` has the event bus, and the locks where ``lock_redis`` is not given."""
        self._config = config
        self._served = ServedProviders(config.stripe_providers)
        self._redis, self._lock_redis = redis, lock_redis or redis
        self.inventory: Inventory = MedusaInventory(config, self._lock_redis, http)
        self.discovery: Discovery = MedusaDiscovery(self._served)
        self.reconciliation: Reconciliation = MedusaReconciliation()
        self.back_office: BackOffice = MedusaBackOffice(self._served)
        self.events: Events = MedusaEvents(redis, config.events_queue, config.events_prefix)

    @classmethod
    @asynccontextmanager
    async def open(cls, config: BridgeConfig) -> AsyncIterator[Self]:
        """The bridge with its connections, which are closed at the end."""
        redis = None if config.redis_url is None else _redis(config.redis_url)
        lock_redis = None if config.lock_redis_url is None else _redis(config.lock_redis_url)
        http = None
        if config.locking is Locking.MEMORY and config.backend_url and config.secret_api_key:
            http = httpx.AsyncClient(
                base_url=config.backend_url, auth=(config.secret_api_key, ""), timeout=_HTTP_PATIENCE
            )
        try:
            yield cls(config, redis, http, lock_redis)
        finally:
            if http is not None:
                await http.aclose()
            for client in (redis, lock_redis):
                if client is not None:
                    await client.aclose()

    async def survey(self, *, events: bool) -> Sequence[str]:
        """What in Medusa's Redis tells that a name set here is not the shop's; ``events``: it has an event bus."""
        problems = []
        if events and self._redis is not None:
            problems += await survey_events(self._redis, self._config)
        if self._config.locking is Locking.REDIS and self._lock_redis is not None:
            problems += await survey_locks(self._lock_redis, self._config)
        return problems

    async def require_shop(self, conn: Connection) -> None:
        """See ``plugins.medusa_bridge.releases``."""
        await require_shop(conn)

    async def verify(self, conn: Connection) -> None:
        """See ``plugins.medusa_bridge.schema``. What is only suspicious is logged."""
        await verify_schema(conn)
        for problem in await self.survey_providers(conn):
            log.warning("medusa.names", detail=problem)

    async def survey_providers(self, conn: Connection) -> Sequence[str]:
        """What the shop's payments tell about STRIPE_PROVIDERS."""
        return await self._served.survey(conn)

    async def lock_order(self, conn: Connection, order_id: str) -> Order | None:
        return self._as_served(await orders.read(conn, order_id, lock=True))

    async def read_order(self, conn: Connection, order_id: str) -> Order | None:
        return self._as_served(await orders.read(conn, order_id, lock=False))

    async def read_sheet(self, conn: Connection, order_id: str) -> OrderSheet | None:
        return await orders.read_sheet(conn, order_id)

    async def read_payment(self, conn: Connection, payment_id: str) -> Payment | None:
        payment = await orders.read_payment(conn, payment_id)
        return None if payment is None else self._served.payment(payment)

    async def cancel_if_unchanged(self, conn: Connection, order: Order, new: NewCancellation) -> bool:
        return await at_once.cancel_if_unchanged(conn, order, new)

    async def take_with_order(self, conn: Connection, ref: JobRef) -> tuple[Job, Order | None] | None:
        taken = await at_once.take_with_order(conn, ref)
        return None if taken is None else (taken[0], self._as_served(taken[1]))

    async def cancel_payment(self, conn: Connection, payment: Payment) -> None:
        await payments.cancel_payment(conn, payment)

    async def record_void(self, conn: Connection, payment: Payment, intent: Intent) -> None:
        await payments.record_void(conn, payment, intent)

    async def record_session(self, conn: Connection, session: PaymentSession, intent: Intent) -> None:
        await payments.record_session(conn, session, intent)

    async def record_release(self, conn: Connection, payment: Payment, intent: Intent | None) -> None:
        await payments.record_release(conn, payment, intent)

    async def record_capture(
        self, conn: Connection, order: Order, payment: Payment, intent: Intent | None
    ) -> str | None:
        return await payments.record_capture(conn, order, payment, intent)

    async def record_refund(self, conn: Connection, order: Order, payment: Payment, refunded: Decimal) -> str | None:
        return await payments.record_refund(conn, order, payment, refunded)

    async def mend_capture(self, conn: Connection, order: Order, payment: Payment, *, abandoned: bool) -> None:
        await payments.mend_capture(conn, order, payment, abandoned=abandoned)

    async def order_exists(self, conn: Connection, order_id: str) -> bool:
        return bool(await conn.fetchval(_ORDER_EXISTS, order_id))

    def _as_served(self, order: Order | None) -> Order | None:
        return None if order is None else self._served.order(order)


def _redis(url: str) -> Redis:
    """A client that says within two seconds that Redis does not answer, and leaves trying again to the caller."""
    return Redis.from_url(
        url,
        decode_responses=True,
        socket_timeout=_REDIS_PATIENCE,
        socket_connect_timeout=_REDIS_PATIENCE,
        retry=Retry(NoBackoff(), 0),
    )
