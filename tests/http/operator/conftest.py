"""An API with the operator's page, beside a Medusa that knows two admins."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from app.embedded.stripe_sandbox.client import Sandbox
from app.settings import Settings
from plugins.medusa_bridge import MedusaAdmins
from tests.databases import one_database_a_file
from tests.http.operator.browser import SESSION_SECRET, Browser
from tests.simulated_medusa import SimulatedMedusa
from tests.world import Api, Shop, serving, settings_for

database = one_database_a_file()


@pytest.fixture
def settings(database: str, redis_url: str, sandbox: Sandbox) -> Settings:
    return settings_for(
        database,
        redis_url,
        sandbox,
        VOID_WAIT_SECONDS="0",
        MEDUSA_BACKEND_URL="http://medusa.test",
        OPERATOR_SESSION_SECRET=SESSION_SECRET,
        ADMIN_CORS="http://admin.test",
    )


@pytest.fixture
def medusa(monkeypatch: pytest.MonkeyPatch) -> SimulatedMedusa:
    """What the API takes for Medusa."""
    simulated = SimulatedMedusa()

    def open_(backend_url: str) -> MedusaAdmins:
        return MedusaAdmins(httpx.AsyncClient(transport=httpx.MockTransport(simulated.answer), base_url=backend_url))

    monkeypatch.setattr(MedusaAdmins, "open", staticmethod(open_))
    return simulated


@pytest.fixture
async def api(medusa: SimulatedMedusa, settings: Settings, shop: Shop) -> AsyncIterator[Api]:
    """The HTTP application, which finds its Medusa at its start."""
    async with serving(settings, shop.key, checked=False) as api:
        yield api


@pytest.fixture
async def stranger(api: Api) -> Browser:
    """Somebody at a browser."""
    return Browser(api)


@pytest.fixture
async def ada(stranger: Browser) -> Browser:
    """An operator who is signed in."""
    assert (await stranger.sign_in()).status_code == 303
    return stranger
