"""Find orders that were changed beside this sidecar."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from app.ports.database import Connection


class MoneyCursor(msgspec.Struct, frozen=True):
    """How far new payments and payment sessions were read, by their ids."""

    payments: str
    sessions: str


class Arrived(msgspec.Struct, frozen=True):
    """Canceled orders that something was made for, and where to read on; ``None`` when all was read."""

    order_ids: Sequence[str]
    after: MoneyCursor | None


class Reconciliation(Protocol):
    """Orders that the shop, or somebody at Stripe, changed beside this sidecar. Nothing is written."""

    async def orders_canceled_elsewhere(
        self, conn: Connection, *, after_job: int, window: int
    ) -> tuple[Sequence[str], int]:
        """Canceled orders among the next ``window`` captures that wait or that took money still kept, and the last
        job looked at (0: from the first)."""
        ...

    def money_after(self, moment: datetime) -> MoneyCursor:
        """Where ``new_money_of_canceled`` starts from at ``moment``."""
        ...

    def moment_of(self, cursor: MoneyCursor) -> datetime | None:
        """The earlier of the two moments at which the cursor stands; ``None`` where its ids tell none."""
        ...

    async def new_money_of_canceled(self, conn: Connection, *, after: MoneyCursor, limit: int) -> Arrived:
        """Canceled orders of the next ``limit`` payments and sessions, whatever their state."""
        ...

    async def canceled_with_money(
        self, conn: Connection, *, after: str, window: int, since: datetime
    ) -> tuple[Sequence[str], str]:
        """Canceled orders among the next ``window`` orders that something is held or kept for, by rows younger than
        ``since``; and the last order read (empty: begin again)."""
        ...

    async def overpaid_orders(
        self, conn: Connection, *, after: str, window: int, since: datetime
    ) -> tuple[Sequence[str], str]:
        """Open orders among the next ``window`` ones that more was received for than they came to when it arrived, by
        money younger than ``since``; and the last order read (empty: begin again)."""
        ...

    async def touched_after_cancel(self, conn: Connection, order_ids: Sequence[str]) -> Sequence[str]:
        """Of canceled orders, those with a captured payment, a live fulfillment or a live reservation."""
        ...
