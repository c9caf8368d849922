"""Hold an order's advisory lock."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Protocol


class OrderLocks(Protocol):
    """An advisory lock per order: it saves calls to Stripe. Correctness comes from the row locks."""

    def hold(self, order_id: str) -> AbstractAsyncContextManager[bool]:
        """Hold the order's lock. ``False`` when another worker has it. ``True`` immediately with Redis down, and where
        the key is no worker's lock: one that never expires, or later than a lease."""
        ...
