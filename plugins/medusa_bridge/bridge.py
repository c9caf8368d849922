"""The ports of the shop, implemented for Medusa v2."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final, Self

import httpx
import structlog
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from app.ports import (
    BackOffice,
    Connection,
    Discovery,
    Events,
    Examination,
    Inventory,
    Orders,
    Payments,
    Reconciliation,
)
from plugins.medusa_bridge.backoffice import MedusaBackOffice
from plugins.medusa_bridge.config import BridgeConfig, Locking
from plugins.medusa_bridge.discovery import MedusaDiscovery
from plugins.medusa_bridge.events import MedusaEvents
from plugins.medusa_bridge.findings import MedusaExamination
from plugins.medusa_bridge.orders import MedusaOrders
from plugins.medusa_bridge.payments import MedusaPayments
from plugins.medusa_bridge.providers import ServedProviders
from plugins.medusa_bridge.reconciliation import MedusaReconciliation
from plugins.medusa_bridge.releases import require_shop
from plugins.medusa_bridge.schema import verify_schema
from plugins.medusa_bridge.stock import MedusaInventory
from plugins.medusa_bridge.survey import survey_events, survey_locks

log = structlog.get_logger()

_REDIS_PATIENCE: Final = 2.0
HTTP_PATIENCE: Final = 8.0


class MedusaBridge:
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
        self.orders: Orders = MedusaOrders(self._served)
        self.payments: Payments = MedusaPayments(self._served)
        self.inventory: Inventory = MedusaInventory(config, self._lock_redis, http)
        self.discovery: Discovery = MedusaDiscovery(self._served)
        self.reconciliation: Reconciliation = MedusaReconciliation()
        self.back_office: BackOffice = MedusaBackOffice(self._served)
        self.examination: Examination = MedusaExamination(self._served)
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
                base_url=config.backend_url, auth=(config.secret_api_key, ""), timeout=HTTP_PATIENCE
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


def _redis(url: str) -> Redis:
    """A client that says within two seconds that Redis does not answer, and leaves trying again to the caller."""
    return Redis.from_url(
        url,
        decode_responses=True,
        socket_timeout=_REDIS_PATIENCE,
        socket_connect_timeout=_REDIS_PATIENCE,
        retry=Retry(NoBackoff(), 0),
    )
