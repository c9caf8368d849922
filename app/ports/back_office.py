"""What an operator sees of the shop's orders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Protocol

from app.domain.risk import SeenOrder
from app.ports.database import Connection


class BackOffice(Protocol):
    """What an operator sees of the shop's orders. Nothing is written."""

    async def see_orders(self, conn: Connection, order_ids: Sequence[str]) -> Mapping[str, SeenOrder]:
        """Those of the orders that are there, with their payments, without any lock."""
        ...

    async def search_orders(self, conn: Connection, words: str) -> Sequence[str]:
        """Up to 20 orders by their id or number, or by the id of a payment or PaymentIntent; newest first."""
        ...

    async def money_at_risk(self, conn: Connection, *, overdue_after: timedelta) -> Mapping[tuple[str, str], Decimal]:
        """Money by currency and reason (``held_on_canceled``, ``kept_on_canceled``, ``capture_overdue``), in major
        units. The cost is that of unfinished work, not of the shop's age."""
        ...
