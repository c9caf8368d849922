"""What Medusa's own checkouts meet meanwhile: inventory locks that one holder keeps longer than a checkout waits."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

PATIENCE: Final = 5.0
"""Seconds that Medusa's checkout waits for the lock of a product before it fails."""


class LockWatch:
    """Looks at ``medusa_lock:*`` twice a second, and keeps how long each holder kept each lock."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._first_seen: dict[tuple[str, str], float] = {}
        self.kept: dict[tuple[str, str], float] = {}

    @property
    def too_long(self) -> list[float]:
        """Seconds of every holding beyond a checkout's patience, longest first."""
        return sorted((seconds for seconds in self.kept.values() if seconds > PATIENCE), reverse=True)

    async def look_for_ever(self) -> None:
        """Until cancelled; a Redis that is away is no news here."""
        async with Redis.from_url(self._url, socket_timeout=0.5, decode_responses=True) as client:
            while True:
                try:
                    names = [name async for name in client.scan_iter("medusa_lock:*")]
                    for name in names:
                        self._note(str(name), await client.get(name))
                except (RedisError, OSError):
                    pass
                await asyncio.sleep(0.5)

    def _note(self, name: str, holder: object) -> None:
        if holder is not None:
            now = time.monotonic()
            since = self._first_seen.setdefault((name, str(holder)), now)
            self.kept[name, str(holder)] = now - since
