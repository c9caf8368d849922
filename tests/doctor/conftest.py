"""Shops with something wrong in them, and a role that may only read."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from app.embedded.stripe_sandbox.client import Sandbox
from app.gateways.stripe_gateway import StripeGateway
from app.settings import Settings
from tests.doctor.ground import PASSWORD, Clinic
from tests.usecases.ground import Hand, opened
from tests.world import Shop, settings_for

README = Path(__file__).parents[2] / "README.md"
_numbers = itertools.count(1)


@pytest.fixture
def settings(database: str, redis_url: str, sandbox: Sandbox) -> Settings:
    """Nobody works here unless the test does."""
    return settings_for(database, redis_url, sandbox, VOID_WAIT_SECONDS="0")


@pytest.fixture
async def clinic(settings: Settings, shop: Shop, sandbox: Sandbox) -> AsyncIterator[Clinic]:
    """Brings orders into every state, sound or not, at Stripe and in the rows."""
    gateway = StripeGateway.open(sandbox.key, sandbox.url)
    async with opened(settings) as services:
        yield Clinic(shop, Hand(services, shop), gateway)
    await gateway.close()


@pytest.fixture
async def role(conn: asyncpg.Connection) -> AsyncIterator[str]:
    """A role with the README's grants, save those to write."""
    name = f"reader_{os.getpid()}_{next(_numbers)}"
    await conn.execute(f"create role {name} login password '{PASSWORD}'")
    for grant in _grants():
        await conn.execute(re.sub(r"\bto grace$", f"to {name}", grant))
    yield name
    await conn.execute(f"drop owned by {name}; drop role {name}")


@pytest.fixture
def dsn(database: str, role: str) -> str:
    """This test's database, as the role that may only read."""
    parts = urlsplit(database)
    return urlunsplit(parts._replace(netloc=f"{role}:{PASSWORD}@{parts.hostname}:{parts.port}"))


@pytest.fixture
async def reader(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection that could not write if it wanted to."""
    connection = await asyncpg.connect(dsn)
    yield connection
    await connection.close(timeout=5)


def _grants() -> list[str]:
    block = re.search(r"create role grace.*?```", README.read_text(), flags=re.DOTALL)
    assert block, "README lost its grants"
    statements = [" ".join(text.split()) for text in block[0].removesuffix("```").split(";")]
    reading = [re.sub(r"select, insert, update on all", "select on all", text) for text in statements]
    return [text for text in reading if re.match(r"grant (usage|select) on", text)]
