"""Shops with something wrong in them, and a role that may only read."""

from __future__ import annotations

import itertools
import os
from collections.abc import AsyncIterator

import asyncpg
import pytest

from app.embedded.stripe_sandbox.client import Sandbox
from app.gateways.stripe_gateway import StripeGateway
from app.settings import Settings
from app.store.grants import as_sql, own_rights
from plugins.medusa_bridge.grants import medusa_rights
from tests.doctor.clinic import PASSWORD, Clinic
from tests.leftovers import connected
from tests.usecases.hand import Hand, opened
from tests.world import Shop, as_role, settings_for

_numbers = itertools.count(1)


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


@pytest.fixture
async def role(conn: asyncpg.Connection) -> AsyncIterator[str]:
    """A role with the grants of ``migrate --grants``, save those to write."""
    name = f"reader_{os.getpid()}_{next(_numbers)}"
    await conn.execute(f"create role {name} login password '{PASSWORD}'")
    needed = [*medusa_rights("public"), *await own_rights(conn)]
    for text in as_sql(name, [right for right in needed if right.privilege in {"usage", "select", "execute"}]):
        if text.startswith("grant"):
            await conn.execute(text)
    yield name
    await conn.execute(f"drop owned by {name}; drop role {name}")


@pytest.fixture
def dsn(database: str, role: str) -> str:
    """This test's database, as the role that may only read."""
    return as_role(database, role, PASSWORD)


@pytest.fixture
async def reader(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection that could not write if it wanted to."""
    async with connected(dsn) as connection:
        yield connection
