"""Find authorizations that have no job yet, by cursors over Medusa's ids."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import asyncpg

from app.domain.order import Provider
from app.ports import Connection, Conversions, Discovery, NewAuthorization
from plugins.medusa_bridge import ids
from plugins.medusa_bridge.providers import ServedProviders
from plugins.medusa_bridge.sqlfile import statement

_NEW_AUTHORIZATIONS: Final = statement("new_authorizations")
_NEWEST_PAYMENT: Final = statement("newest_payment")
_ORDER_WINDOW: Final = statement("order_window")
_ORDERS_WITHOUT_CART: Final = statement("orders_without_cart")
_PAYMENT_OF_SESSION: Final = statement("payment_of_session")


class MedusaDiscovery(Discovery):
    """Reads ``payment`` in the order of its ids, which are ULIDs of the moment at which Medusa made them."""

    def __init__(self, served: ServedProviders) -> None:
        self._served = served

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

    def cursor_at(self, moment: datetime) -> str:
        return ids.payment_id_at(moment)

    def moment_at(self, cursor: str) -> datetime | None:
        return ids.made_at(cursor)

    async def find_payment(self, conn: Connection, intent_id: str, *, session: str) -> tuple[str, str] | None:
        row = await conn.fetchrow(_PAYMENT_OF_SESSION, session, intent_id)
        return None if row is None else (row["order_id"], row["subject"])

    def _new_authorization(self, row: asyncpg.Record) -> NewAuthorization:
        unsupported = self._unsupported(row["provider_id"])
        is_canceled = row.get("is_canceled", False)  # conversions are of open orders
        return NewAuthorization(row["order_id"], row["payment_id"], row["placed_at"], unsupported, is_canceled)

    def _unsupported(self, provider_id: str) -> str | None:
        return provider_id if self._served.of(provider_id) is Provider.OTHER else None
