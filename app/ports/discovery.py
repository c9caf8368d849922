"""Find authorizations that have no job yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

import msgspec

from app.ports.database import Connection


class NewAuthorization(msgspec.Struct, frozen=True):
    """An authorization without a capture job."""

    order_id: str
    payment_id: str
    placed_at: datetime
    unsupported: str | None = None
    """The provider, where this sidecar can neither capture nor void for it."""
    is_canceled: bool = False
    """The order is canceled; another that shares the hold may not be."""


class Conversions(msgspec.Struct, frozen=True):
    """Orders made from drafts among those that were read."""

    placed_at: Mapping[str, datetime]
    """By order id, of those whose conversion is not recorded yet."""
    authorizations: Sequence[NewAuthorization]
    """Their holds without a capture job."""
    reached: str
    """The last order read (empty: begin again)."""


class Discovery(Protocol):
    """Authorizations without a capture job, by cursors over ids; and the payment of a webhook. Nothing is written."""

    async def find_new_authorizations(
        self, conn: Connection, *, after: str, overlap: timedelta, limit: int
    ) -> tuple[Sequence[NewAuthorization], str]:
        """Holds made after the cursor ``after`` (less ``overlap``) without a capture job, and the new cursor. One that
        orders share is found once for each of them."""
        ...

    async def find_conversions(self, conn: Connection, *, after: str, window: int) -> Conversions:
        """Open orders without a cart among the next ``window`` orders after the id ``after``."""
        ...

    def cursor_at(self, moment: datetime) -> str:
        """The cursor that ``find_new_authorizations`` starts from at ``moment``."""
        ...

    def moment_at(self, cursor: str) -> datetime | None:
        """The moment of a cursor of ``find_new_authorizations``."""
        ...

    async def find_payment(self, conn: Connection, intent_id: str, *, session: str) -> tuple[str, str] | None:
        """Order id and payment id, or session id where there is no payment yet, of an intent.

        ``session`` is what the shop wrote into the intent to find it by; empty when it wrote nothing."""
        ...
