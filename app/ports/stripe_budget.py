"""The budget of requests to Stripe: what use cases and the relay need of it, and its default without a limit."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, Protocol

from app.domain.jobs import JobKind


class CallClass(StrEnum):
    """What requests are for, the most urgent first."""

    VOID = "void"
    """Voids and refunds: a shopper waits for them."""
    CAPTURE = "capture"
    RECONCILE = "reconcile"
    """Retrieves that compare rows with Stripe."""


CLASS_OF: Final[Mapping[JobKind, CallClass]] = {
    JobKind.VOID: CallClass.VOID,
    JobKind.REFUND: CallClass.VOID,
    JobKind.CAPTURE: CallClass.CAPTURE,
    JobKind.LOOK: CallClass.RECONCILE,
}
"""Jobs that call Stripe, and the class of their requests."""


RESERVE: Final[Mapping[CallClass, float]] = {CallClass.VOID: 0.0, CallClass.CAPTURE: 0.25, CallClass.RECONCILE: 0.5}
"""The part of a full bucket that a class leaves to more urgent ones. While they use the whole rate it gets nothing."""


class StripeBudget(Protocol):
    """A token bucket of requests to Stripe, shared by all workers of an installation."""

    async def take(self, call_class: CallClass, wanted: int) -> int:
        """Take up to ``wanted`` requests and return how many may be made now. Never raises, never waits for more."""
        ...

    async def charge(self, requests: int) -> None:
        """Count requests that were made beyond those taken; a negative number gives back. Never raises."""
        ...

    async def slow_down(self) -> None:
        """Lower the pace of the whole fleet for a while: Stripe answered 429. Never raises."""
        ...


class NoStripeBudget:
    """No limit."""

    async def take(self, call_class: CallClass, wanted: int) -> int:  # noqa: ARG002
        """See ``StripeBudget``."""
        return wanted

    async def charge(self, requests: int) -> None:
        """See ``StripeBudget``."""

    async def slow_down(self) -> None:
        """See ``StripeBudget``."""
