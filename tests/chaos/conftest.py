"""A shop at rest for the verdict to look at: no process of ours runs in it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from app.embedded.stripe_sandbox.client import Sandbox
from app.gateways.stripe_gateway import StripeGateway
from app.settings import Settings
from tests.doctor.clinic import Clinic
from tests.usecases.hand import Hand, opened
from tests.world import Shop, settings_for


@pytest.fixture
def settings(database: str, redis_url: str, sandbox: Sandbox) -> Settings:
    """Nobody works here unless the test does."""
    return settings_for(database, redis_url, sandbox, VOID_WAIT_SECONDS="0")


@pytest.fixture
async def clinic(settings: Settings, shop: Shop, sandbox: Sandbox) -> AsyncIterator[Clinic]:
    """Brings orders into every state, sound or not, at Stripe and in the rows."""
    gateway = StripeGateway.open(sandbox.key, sandbox.url)
    async with opened(settings, checked=False) as services:
        yield Clinic(shop, Hand(services, shop), gateway)
    await gateway.close()
