"""Rate limits of one process, for when the shared ones cannot be counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

MAX_KEYS: Final = 50_000
"""In a window. Keys beyond are not counted: the limits of those that are counted hold."""
FACTOR: Final = 2
"""How many times a limit one process allows: what it counted with the others before is not known here, and a client's
requests may all come to one process or to each in turn."""


class LocalRateLimits:
    """Counts requests per window and key in memory."""

    def __init__(self) -> None:
        self._window = 0
        self._counts: Counter[str] = Counter()

    def exceeded(self, budgets: Iterable[tuple[str, int]], window: int) -> list[str]:
        """Count one request against every key. The keys whose limit it exceeds, ``FACTOR`` times."""
        if window != self._window:
            self._window = window
            self._counts.clear()
        return [key for key, limit in budgets if self._count(key) > FACTOR * limit]

    def _count(self, key: str) -> int:
        if key not in self._counts and len(self._counts) >= MAX_KEYS:
            return 0
        self._counts[key] += 1
        return self._counts[key]
