"""Every name that this installation uses in its Redis: other shops, and copies of this one, may share the server."""

from __future__ import annotations

import msgspec


class RedisKeys(msgspec.Struct, frozen=True):
    """Keys and channels of one installation. Channels are shared by all databases of a server."""

    installation: str

    @property
    def jobs(self) -> str:
        """dramatiq's namespace."""
        return self._named("jobs")

    @property
    def wakeups(self) -> str:
        """The channel on which workers are woken."""
        return self._named("wake")

    @property
    def voids(self) -> str:
        """The channel on which attempted voids are published."""
        return self._named("voids")

    @property
    def start(self) -> str:
        """A key, and a channel, that is tried at the start."""
        return self._named("start")

    @property
    def stripe_budget(self) -> str:
        """The token bucket of requests to Stripe."""
        return self._named("stripe-budget")

    def order_lock(self, order_id: str) -> str:
        """The advisory lock of an order."""
        return self._named(f"order:{order_id}")

    def rate(self, key: str, window: int) -> str:
        """The counter of a rate limit in one window."""
        return self._named(f"rate:{key}:{window}")

    def _named(self, what: str) -> str:
        return f"grace:{self.installation}:{what}"
