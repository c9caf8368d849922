"""What a check of the promises asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Protocol

from app.domain.examination import ExaminedPayment, ExaminedSession
from app.domain.findings import Finding
from app.ports.database import Connection


class Examination(Protocol):
    """Questions about the shop's own tables that a check of the promises asks. Nothing is written."""

    async def payments_in_question(self, conn: Connection, intent_ids: Sequence[str]) -> Sequence[ExaminedPayment]:
        """Payments that are not plainly as they should be, and those of ``intent_ids``."""
        ...

    async def sessions_in_question(self, conn: Connection, intent_ids: Sequence[str]) -> Sequence[ExaminedSession]:
        """Sessions without a payment of canceled orders that are not plainly canceled, and those of ``intent_ids``."""
        ...

    async def unknown_intents(self, conn: Connection, intent_ids: Sequence[str]) -> Sequence[str]:
        """Those of ``intent_ids`` that no payment names, not even a draft's."""
        ...

    async def find_defects(self, conn: Connection, *, at_rest: bool) -> list[Finding]:
        """Rows that contradict one another, and stock that is kept for nobody."""
        ...

    async def find_gaps(self, conn: Connection) -> list[Finding]:
        """Missing tables, columns and indexes, and what the role may do beyond its needs."""
        ...

    async def schema_of_shop(self, conn: Connection) -> str | None:
        """The schema of the shop's tables; ``None`` where they are not there."""
        ...

    async def intents_to_ask(self, conn: Connection, *, look_back: timedelta) -> Mapping[str, str]:
        """Order ids by Stripe's intents: of canceled orders, and of all orders placed within ``look_back``."""
        ...
