"""Release reservations under the shop's own inventory locks."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import msgspec

from app.ports.database import Connection, Unavailable


class StockBusy(Unavailable):
    """The shop is at work on the stock that is to be released. Nothing was locked."""


class Reservation(msgspec.Struct, frozen=True):
    """Stock that is kept for a line of an order."""

    id: str
    item_id: str


class Inventory(Protocol):
    """Reservations of an order's lines, and the shop's own inventory locks."""

    async def reservations(self, conn: Connection, order_id: str) -> Sequence[Reservation]:
        """The live reservations of the order's lines."""
        ...

    def stock_guard(self, reservations: Sequence[Reservation]) -> AbstractAsyncContextManager[None]:
        """What a release needs outside its transaction: the shop's own inventory locks, or its API.

        Raises ``Unavailable`` when the shop holds them too long or does not answer.
        """
        ...

    async def lock_stock(self, conn: Connection, reservations: Sequence[Reservation]) -> None:
        """The shop's inventory locks, where a transaction takes them. Raises ``StockBusy``, and waits for none."""
        ...

    async def release_stock(
        self, conn: Connection, order_id: str, reservations: Sequence[Reservation]
    ) -> Sequence[Reservation]:
        """Release those of ``reservations`` that still live, once each. What of the order lives afterwards."""
        ...
