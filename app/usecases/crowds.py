"""A few requests for one order at a time: a crowd at one order must not take the connections of all others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from weakref import WeakValueDictionary

from app.ports import Unavailable

FEW: Final = 3
PATIENCE: Final = 5.0
"""Seconds that a request waits in the crowd before it is sent away."""


class Crowds:
    """Per order, ``FEW`` requests of this process that may wait for its locks at once."""

    def __init__(self) -> None:
        self._doors: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    @asynccontextmanager
    async def one_of_few(self, order_id: str) -> AsyncIterator[None]:
        """Wait for a turn, without a connection. Raises ``Unavailable`` when it does not come in time."""
        door = self._doors.get(order_id)
        if door is None:
            door = self._doors[order_id] = asyncio.Semaphore(FEW)
        try:
            async with asyncio.timeout(PATIENCE):
                await door.acquire()
        except TimeoutError as error:
            message = f"a crowd at {order_id}"
            raise Unavailable(message) from error
        try:
            yield
        finally:
            door.release()
