"""Connections of several workers to one database."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import asyncpg
import pytest

Connect = Callable[[], Awaitable[asyncpg.Connection]]


@pytest.fixture
async def connect(database: str) -> AsyncIterator[Connect]:
    """Opens one more connection."""
    async with AsyncExitStack() as stack:

        async def open_one() -> asyncpg.Connection:
            connection = await asyncpg.connect(database)
            stack.push_async_callback(connection.close)
            return connection

        yield open_one
