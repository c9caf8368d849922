"""How people hear of incidents, and requests of their voids. Each port has a silent default."""

from __future__ import annotations

import asyncio
import base64
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Protocol

import msgspec

from app.domain.incidents import IncidentKind


class AlertEvent(StrEnum):
    """People are told twice of an incident: when it is opened and when it is over."""

    OPENED = "opened"
    RESOLVED = "resolved"


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """All that leaves the house about an incident. Nothing of the shopper, and no error texts."""

    message_id: str
    """The same for every attempt, so that a receiver can tell a repetition."""
    event: AlertEvent
    incident_id: int
    order_id: str
    kind: IncidentKind
    opened_at: datetime
    resolved_at: datetime | None = None
    amount: Decimal | None = None
    """Of all the order's payments, in major units."""
    currency: str | None = None
    hold_lapses_at: datetime | None = None
    """When the card's bank lets go of the money by itself; ``None`` where nothing is held or Stripe did not say."""


class AlertChannel(Protocol):
    """A way to tell people, other than the log."""

    async def send(self, alert: Alert) -> str | None:
        """Deliver within 10 s: ``None`` when the receiver took it, else what went wrong. Never raises."""
        ...


def alert_key(secret: str) -> bytes:
    """The key of a webhook secret: base64 after ``whsec_``. ``ValueError`` for anything else, or not 24 to 64 bytes."""
    prefix, marker, encoded = secret.partition("whsec_")
    key = base64.b64decode(encoded, validate=True)
    if prefix or not marker or not 24 <= len(key) <= 64:
        message = "not whsec_ and the base64 of 24 to 64 bytes"
        raise ValueError(message)
    return key


class VoidNews(Protocol):
    """Word from the workers to the requests that wait for an order's void. Lost word only costs a poll interval."""

    async def tell(self, order_id: str) -> None:
        """Say that a void of the order was tried, whatever came of it. Never raises, never waits long."""
        ...

    def awaited(self, order_id: str) -> AbstractContextManager[asyncio.Event]:
        """An event that is set when it is told within the block."""
        ...


class NoVoidNews:
    """Nobody tells, and nobody hears."""

    async def tell(self, order_id: str) -> None:
        """See ``VoidNews``."""

    def awaited(self, order_id: str) -> AbstractContextManager[asyncio.Event]:  # noqa: ARG002
        """See ``VoidNews``."""
        return nullcontext(asyncio.Event())
