"""The budget of requests to Stripe that one process counts by itself: a share, since others make requests too."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from app.domain.token_bucket import TokenBucket
from app.ports.stripe_budget import RESERVE, CallClass

SHARE: Final = 0.25
"""Of the budget, for a process that cannot count with the others. One worker reaches the whole budget, so that fleets
are small: up to four stay within it together, and of more the first 429 halves the pace of each."""

_LEAST_WAIT: Final = 0.01


class LocalStripeBudget:
    """``app.ports.stripe_budget.StripeBudget`` of one process."""

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._clock = rate, clock
        self._bucket = TokenBucket.full(rate, clock())

    @property
    def pace(self) -> float:
        """Requests a second that may be made now."""
        return self._rate * self._bucket.pace_at(self._clock())

    async def take(self, call_class: CallClass, wanted: int) -> int:
        """See ``StripeBudget``."""
        granted, self._bucket = self._refilled().take(wanted, self._rate, RESERVE[call_class])
        return granted

    async def charge(self, requests: int) -> None:
        """See ``StripeBudget``."""
        self._bucket = self._refilled().charge(requests, self._rate)

    async def slow_down(self) -> None:
        """See ``StripeBudget``."""
        self._bucket = self._refilled().slow_down(self._clock())

    async def wait(self, call_class: CallClass) -> None:
        """Return once one request may be made."""
        while not await self.take(call_class, 1):  # noqa: ASYNC110 (time alone refills it)
            await asyncio.sleep(max(1 / self.pace, _LEAST_WAIT))

    def _refilled(self) -> TokenBucket:
        return self._bucket.refilled(self._rate, self._clock())
