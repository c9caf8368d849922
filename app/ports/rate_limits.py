"""Count requests for rate limits."""

from __future__ import annotations

from typing import Protocol


class RateLimits(Protocol):
    """Requests a minute, counted for all processes together."""

    async def reachable(self) -> bool:
        """Whether they can be counted at all now; never raises."""
        ...

    async def exceeded(self, *budgets: tuple[str, int]) -> int | None:
        """Count a request against every ``(key, limit)``. Seconds to wait when one is exceeded; never raises."""
        ...
