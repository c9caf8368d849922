"""The API alone: no worker runs, and nobody waits for a void."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from app.embedded.stripe_sandbox.client import Sandbox
from app.settings import Settings
from tests.leftovers import connected
from tests.world import settings_for


@pytest.fixture
def settings(database: str, redis_url: str, sandbox: Sandbox) -> Settings:
    """As for every test, but answers come at once."""
    return settings_for(database, redis_url, sandbox, VOID_WAIT_SECONDS="0")


@pytest.fixture
async def rival(database: str) -> AsyncIterator[asyncpg.Connection]:
    """Somebody else in the same database: Medusa, or its admin."""
    async with connected(database) as connection:
        yield connection
