"""Find orders that Medusa, its admin or its webhooks changed beside this sidecar."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Final

from app.domain.money import to_minor_units
from app.ports import Arrived, Connection, MoneyCursor, Reconciliation
from plugins.medusa_bridge import ids
from plugins.medusa_bridge.sqlfile import statement

_CANCELED_ELSEWHERE: Final = statement("canceled_elsewhere")
_NEW_MONEY_OF_CANCELED: Final = statement("new_money_of_canceled")
_CANCELED_WITH_MONEY: Final = statement("canceled_with_money")
_OVERPAID_ORDERS: Final = statement("overpaid_orders")
_TOUCHED_AFTER_CANCEL: Final = statement("touched_after_cancel")


class MedusaReconciliation(Reconciliation):
    """Reads windows of bounded size, whatever the shop's age."""

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


def _is_more(received: Decimal, total: Decimal, currency: str) -> bool:
    """Whether more was received than rounding explains."""
    return to_minor_units(received, currency) > to_minor_units(total, currency)
