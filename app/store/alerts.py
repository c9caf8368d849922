"""``grace.alerts``: what people are to be told through a channel, and whether it was taken there."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from app.domain.incidents import IncidentKind
from app.ports import Connection
from app.store.sql import statement
from app.telling import AlertEvent

_RAISE: Final = statement("raise_alerts")
_RESOLVE: Final = statement("raise_resolutions")
_CLAIM: Final = statement("claim_alerts")
_DELIVERED: Final = statement("alert_delivered")
_FAILED: Final = statement("alert_failed")


class ClaimedAlert(msgspec.Struct, frozen=True, kw_only=True):
    """An alert that is this worker's to deliver until its lease lapses."""

    id: int
    message_id: str
    event: AlertEvent
    attempts: int
    incident_id: int
    order_id: str
    kind: IncidentKind
    opened_at: datetime
    closed_at: datetime | None


async def raise_new(conn: Connection, channels: Sequence[str], order_id: str | None = None) -> None:
    """One alert a channel for every incident that was opened, and for every one that was closed, since the last time.

    Without channels the incidents count as told: who sets a channel up later is not told of the past.
    """
    await conn.execute(_RAISE, channels, order_id)
    await conn.execute(_RESOLVE, channels, order_id)


async def claim(conn: Connection, channel: str, *, limit: int, lease: timedelta) -> list[ClaimedAlert]:
    """Alerts that are due on a channel. Other workers pass over them until the lease is over."""
    return [
        ClaimedAlert(
            id=row["id"],
            message_id=str(row["message_id"]),
            event=AlertEvent(row["event"]),
            attempts=row["attempts"],
            incident_id=row["incident_id"],
            order_id=row["order_id"],
            kind=IncidentKind(row["kind"]),
            opened_at=row["opened_at"],
            closed_at=row["closed_at"],
        )
        for row in await conn.fetch(_CLAIM, channel, limit, lease)
    ]


async def delivered(conn: Connection, claimed: ClaimedAlert) -> None:
    """The receiver took it."""
    await conn.execute(_DELIVERED, claimed.id)


async def failed(conn: Connection, claimed: ClaimedAlert, *, delay: timedelta, error: str) -> None:
    """It did not: once more after ``delay``."""
    await conn.execute(_FAILED, claimed.id, claimed.attempts, delay, error[:500])
