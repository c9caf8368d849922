"""Stripe, and what it answers."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

import msgspec

from app.domain.intents import Intent


class Answered(msgspec.Struct, frozen=True):
    """Stripe did it, or had done it before: ``intent`` says how things stand."""

    intent: Intent


class Declined(msgspec.Struct, frozen=True):
    """A definite no: Stripe did nothing. The next attempt needs a new idempotency key."""

    error: str
    intent: Intent | None = None


class Unknown(msgspec.Struct, frozen=True):
    """No answer, or one that does not say whether it was done: only a look at the intent can tell.

    ``saved`` when Stripe answered an error that it would replay for the same idempotency key.
    """

    error: str
    saved: bool = False


class Unseen(msgspec.Struct, frozen=True):
    """A look that failed: nothing was tried, and how things stand is as unknown as before."""

    error: str


Outcome = Answered | Declined | Unknown | Unseen


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One call to Stripe, for the timeline of its order."""

    verb: str
    intent_id: str
    began_at: datetime
    seconds: float
    outcome: str
    """``answered``, ``declined`` or ``unknown``."""
    error: str | None = None
    state: str | None = None
    """Of the intent, as answered."""
    request_id: str | None = None
    """Stripe's own, as its dashboard's log shows it."""


class PaymentGateway(Protocol):
    """Stripe. Every call ends within seconds; answers that are to be expected are values.

    Each call is added to ``calls`` when it ends, however it ends.
    """

    async def look(self, intent_id: str, *, calls: list[Call] | None = None) -> Answered | Unseen:
        """The intent as it stands."""
        ...

    async def capture(self, intent_id: str, *, amount: int, key: str, calls: list[Call] | None = None) -> Outcome:
        """Capture ``amount`` (smallest unit) of a hold."""
        ...

    async def void(self, intent_id: str, *, key: str, calls: list[Call] | None = None) -> Outcome:
        """Cancel the PaymentIntent, so that Stripe releases the authorization."""
        ...

    async def refund(self, intent_id: str, *, amount: int, key: str, calls: list[Call] | None = None) -> Outcome:
        """Give ``amount`` (smallest unit) of a captured intent back; the answer holds the intent afterwards."""
        ...
