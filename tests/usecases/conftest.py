"""Services without a worker."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from app.embedded.stripe_sandbox.client import Sandbox
from app.settings import Settings
from tests.usecases.hand import Hand, opened
from tests.world import Shop, settings_for

STRIPE_PATIENCE = 0.7


@pytest.fixture
def settings(database: str, redis_url: str, sandbox: Sandbox) -> Settings:
    """A cancel answers at once: nobody works here unless the test does."""
    return settings_for(database, redis_url, sandbox, VOID_WAIT_SECONDS="0")


@pytest.fixture
async def hand(settings: Settings, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Hand]:
    """Runs jobs in the test's shop; Stripe has less time to answer than it has in earnest."""
    monkeypatch.setattr("app.gateways.stripe_gateway.TIMEOUT", STRIPE_PATIENCE)
    async with opened(settings, checked=False) as services:
        yield Hand(services, shop)
