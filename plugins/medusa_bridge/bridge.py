"""The ports of the shop, implemented for Medusa v2."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final, Self

import asyncpg
import httpx
import structlog
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from app.domain.cancellation import NewCancellation
from app.domain.jobs import Job, JobRef
from app.domain.money import to_minor_units
from app.domain.order import Order, Payment, PaymentSession, Provider
from app.domain.receipt import OrderSheet
from app.ports import (
    Arrived,
    Connection,
    Conversions,
    Events,
    Intent,
    Inventory,
    MoneyCursor,
    NewAuthorization,
)
from plugins.medusa_bridge import at_once, ids, orders, payments
from plugins.medusa_bridge.backoffice import Backoffice
from plugins.medusa_bridge.config import BridgeConfig, Locking
from plugins.medusa_bridge.events import MedusaEvents
from plugins.medusa_bridge.findings import Examiner
from plugins.medusa_bridge.providers import ServedProviders
from plugins.medusa_bridge.releases import require_shop
from plugins.medusa_bridge.schema import verify_schema
from plugins.medusa_bridge.sqlfile import statement
from plugins.medusa_bridge.stock import MedusaInventory
from plugins.medusa_bridge.survey import survey_events, survey_locks

log = structlog.get_logger()

_NEW_AUTHORIZATIONS: Final = statement("new_authorizations")
_NEW_MONEY_OF_CANCELED: Final = statement("new_money_of_canceled")
_NEWEST_PAYMENT: Final = statement("newest_payment")
_CANCELED_ELSEWHERE: Final = statement("canceled_elsewhere")
_CANCELED_WITH_MONEY: Final = statement("canceled_with_money")
_OVERPAID_ORDERS: Final = statement("overpaid_orders")
_MONEY_AT_RISK: Final = statement("money_at_risk")
_ORDER_EXISTS: Final = statement("order_exists")
_ORDER_WINDOW: Final = statement("order_window")
_ORDERS_WITHOUT_CART: Final = statement("orders_without_cart")
_SESSIONS_AT_RISK: Final = statement("sessions_at_risk")
_PAYMENT_OF_SESSION: Final = statement("payment_of_session")
_TOUCHED_AFTER_CANCEL: Final = statement("touched_after_cancel")
_REDIS_PATIENCE: Final = 2.0
_HTTP_PATIENCE: Final = 8.0


class MedusaBridge(Examiner, Backoffice):
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

    async def find_new_authorizations(
        self, conn: Connection, *, after: str, overlap: timedelta, limit: int
    ) -> tuple[Sequence[NewAuthorization], str]:
        newest = await conn.fetchrow(_NEWEST_PAYMENT)
        assert newest is not None
        start = ids.earlier(after, overlap, newest["now"])
        rows = await conn.fetch(_NEW_AUTHORIZATIONS, start, limit, newest["id"])
        found = [self._new_authorization(row) for row in rows]
        reached = found[-1].payment_id if len(found) == limit else ids.passed(newest["id"], newest["now"])
        return found, ids.later(after, reached, newest["now"])

    async def find_conversions(self, conn: Connection, *, after: str, window: int) -> Conversions:
        seen = await conn.fetchrow(_ORDER_WINDOW, after, window)
        assert seen is not None
        rows = await conn.fetch(_ORDERS_WITHOUT_CART, after, seen["reached"])
        return Conversions(
            {row["order_id"]: row["placed_at"] for row in rows if not row["is_recorded"]},
            [self._new_authorization(row) for row in rows if row["payment_id"]],
            seen["reached"] if seen["looked_at"] == window else "",
        )

    async def order_exists(self, conn: Connection, order_id: str) -> bool:
        return bool(await conn.fetchval(_ORDER_EXISTS, order_id))

    def cursor_at(self, moment: datetime) -> str:
        return ids.payment_id_at(moment)

    async def orders_canceled_elsewhere(
        self, conn: Connection, *, after_job: int, window: int
    ) -> tuple[Sequence[str], int]:
        row = await conn.fetchrow(_CANCELED_ELSEWHERE, after_job, window)
        assert row is not None
        return row["order_ids"], row["reached"] if row["looked_at"] == window else 0

    def money_after(self, moment: datetime) -> MoneyCursor:
        return MoneyCursor(ids.payment_id_at(moment), ids.session_id_at(moment))

    def moment_of(self, cursor: MoneyCursor) -> datetime | None:
        moments = [moment for id_ in (cursor.payments, cursor.sessions) if (moment := ids.made_at(id_)) is not None]
        return min(moments, default=None)

    def moment_at(self, cursor: str) -> datetime | None:
        return ids.made_at(cursor)

    async def new_money_of_canceled(self, conn: Connection, *, after: MoneyCursor, limit: int) -> Arrived:
        row = await conn.fetchrow(_NEW_MONEY_OF_CANCELED, after.payments, after.sessions, limit)
        assert row is not None
        more = row["payments"] == limit, row["sessions"] == limit
        read = MoneyCursor(
            row["payment_id"] if more[0] else ids.payment_id_at(row["now"]),
            row["session_id"] if more[1] else ids.session_id_at(row["now"]),
        )
        return Arrived(row["order_ids"], read if any(more) else None)

    async def canceled_with_money(
        self, conn: Connection, *, after: str, window: int, since: datetime
    ) -> tuple[Sequence[str], str]:
        row = await conn.fetchrow(_CANCELED_WITH_MONEY, after, window, since)
        assert row is not None
        return row["order_ids"], row["reached"] if row["looked_at"] == window else ""

    async def overpaid_orders(
        self, conn: Connection, *, after: str, window: int, since: datetime
    ) -> tuple[Sequence[str], str]:
        row = await conn.fetchrow(_OVERPAID_ORDERS, after, window, since)
        assert row is not None
        candidates = zip(row["order_ids"], row["received"], row["totals"], row["currencies"], strict=True)
        found = [order_id for order_id, received, total, currency in candidates if _is_more(received, total, currency)]
        return found, row["reached"] if row["looked_at"] == window else ""

    async def touched_after_cancel(self, conn: Connection, order_ids: Sequence[str]) -> Sequence[str]:
        return [row["id"] for row in await conn.fetch(_TOUCHED_AFTER_CANCEL, order_ids)]

    async def find_payment(self, conn: Connection, intent_id: str, *, session: str) -> tuple[str, str] | None:
        row = await conn.fetchrow(_PAYMENT_OF_SESSION, session, intent_id)
        return None if row is None else (row["order_id"], row["subject"])

    async def money_at_risk(self, conn: Connection, *, overdue_after: timedelta) -> Mapping[tuple[str, str], Decimal]:
        rows = await conn.fetch(_MONEY_AT_RISK, overdue_after)
        sums = {(row["currency"].lower(), row["reason"]): row["amount"] for row in rows}
        for row in await conn.fetch(_SESSIONS_AT_RISK):
            session = orders.session_of(dict(row))
            for reason, amount in (("kept_on_canceled", session.kept), ("held_on_canceled", session.coming)):
                if amount > 0:
                    key = session.currency, reason
                    sums[key] = sums.get(key, Decimal(0)) + amount
        return sums

    def _as_served(self, order: Order | None) -> Order | None:
        return None if order is None else self._served.order(order)

    def _new_authorization(self, row: asyncpg.Record) -> NewAuthorization:
        unsupported = self._unsupported(row["provider_id"])
        is_canceled = row.get("is_canceled", False)  # conversions are of open orders
        return NewAuthorization(row["order_id"], row["payment_id"], row["placed_at"], unsupported, is_canceled)

    def _unsupported(self, provider_id: str) -> str | None:
        return provider_id if self._served.of(provider_id) is Provider.OTHER else None


def _is_more(received: Decimal, total: Decimal, currency: str) -> bool:
    """Whether more was received than rounding explains."""
    return to_minor_units(received, currency) > to_minor_units(total, currency)


def _redis(url: str) -> Redis:
    """A client that says within two seconds that Redis does not answer, and leaves trying again to the caller."""
    return Redis.from_url(
        url,
        decode_responses=True,
        socket_timeout=_REDIS_PATIENCE,
        socket_connect_timeout=_REDIS_PATIENCE,
        retry=Retry(NoBackoff(), 0),
    )
