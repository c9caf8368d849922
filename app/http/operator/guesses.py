"""Limits on sign-in attempts: a hard one for an address, pacing for an account.

An account is never locked. Guessing from many addresses slows sign-ins to that account, for its owner too at worst.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

from app.ports import RateLimits

ATTEMPTS_A_MINUTE: Final = 10
"""Of one address."""
UNPACED_A_MINUTE: Final = 20
"""At one account, before attempts at it are paced: more than one address has."""
PACE: Final = 4.0
"""Seconds that a paced attempt waits before Medusa is asked."""
PACED_AT_ONCE: Final = 4
"""Paced attempts at one account that wait in a process at a time: one a second goes on to Medusa."""
_WINDOW: Final = 60
_MAX_KEYS: Final = 50_000


class SignInLimits:
    """Counts attempts in Redis for all processes together, and in this process for when Redis is away."""

    def __init__(self, shared: RateLimits) -> None:
        self._shared = shared
        self._window = 0
        self._counts: Counter[str] = Counter()
        self._hits: Counter[str] = Counter()
        self._paced: Counter[str] = Counter()

    async def exceeded(self, key: str, limit: int = ATTEMPTS_A_MINUTE) -> int | None:
        """Count an attempt. Seconds until the next window when there were too many in this one, else ``None``."""
        now = time.time()
        self._begin(int(now // _WINDOW))
        self._counts[key] += 1
        shared = await self._shared.exceeded((f"sign-in:{key}", limit))
        if self._counts[key] <= limit and shared is None:
            return None
        return shared or _WINDOW - int(now % _WINDOW)

    def is_news(self, key: str) -> bool:
        """Whether the key's limit was not hit before in this window: a log line a minute is enough."""
        self._begin(int(time.time() // _WINDOW))
        self._hits[key] += 1
        return self._hits[key] == 1

    @asynccontextmanager
    async def pace(self, account: str, is_known: Callable[[], Awaitable[bool]]) -> AsyncIterator[bool]:
        """Count an attempt at an account, and hold it back where there were too many from anywhere.

        Addresses that signed in to the account before are not held back. ``False`` when too many wait already.
        """
        if await self.exceeded(f"account:{account}", UNPACED_A_MINUTE) is None or await is_known():
            yield True
            return
        if self._paced[account] >= PACED_AT_ONCE:
            yield False
            return
        self._paced[account] += 1
        try:
            await asyncio.sleep(PACE)
            yield True
        finally:
            self._paced[account] -= 1
            if not self._paced[account]:
                del self._paced[account]

    def _begin(self, window: int) -> None:
        if window != self._window or len(self._counts) > _MAX_KEYS:
            self._window = window
            self._counts.clear()
            self._hits.clear()
