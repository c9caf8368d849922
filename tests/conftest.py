"""Real servers for every test: one Postgres, one Valkey and one Stripe sandbox a session, a database a test."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest
import redis

from app.embedded.postgres import Postgres
from app.embedded.shop import create_publishable_key, create_tables
from app.embedded.stripe_sandbox.client import Sandbox, running_sandbox
from app.embedded.valkey import DATABASES, Valkey
from app.logs import configure_logs
from app.roles import grant_role
from app.settings import Settings
from app.store.migrate import migrate
from tests.databases import copied
from tests.leftovers import connected, no_leftovers, pytest_collection_modifyitems, pytest_runtest_call
from tests.sharing import pytest_xdist_auto_num_workers
from tests.world import ROLE, ROLE_PASSWORD, Api, Shop, serving, settings_for

__all__ = [
    "no_leftovers",
    "pytest_collection_modifyitems",
    "pytest_runtest_call",
    "pytest_xdist_auto_num_workers",
]

pytest.register_assert_rewrite("tests.http.answers")  # here, before any module of the suite imports it

configure_logs("INFO")

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A server for the session. A test that kills or restarts it leaves it running."""
    with Postgres.start(durable=False, in_memory=True) as server:
        yield server


@pytest.fixture(scope="session")
def valkey() -> Iterator[Valkey]:
    """A server for the session. A test that breaks it uses ``own_valkey`` instead."""
    with Valkey.start() as server:
        yield server


@pytest.fixture
def own_valkey() -> Iterator[Valkey]:
    """A server for one test, to be killed, paused and flushed."""
    with Valkey.start() as server:
        yield server


@pytest.fixture(scope="session")
async def sandbox_url() -> AsyncIterator[str]:
    """Where Stripe's stand-in listens."""
    async with running_sandbox() as url:
        yield url


@pytest.fixture(scope="session")
async def shop_template(postgres: Postgres) -> str:
    """A database with Medusa's tables and ours, and a role for the processes, to copy from."""
    name = "shop_template"
    async with connected(postgres.dsn()) as admin:
        await admin.execute(f"create database {name}")
    async with connected(postgres.dsn(name)) as conn:
        await create_tables(conn)
    await migrate(postgres.dsn(name))
    await grant_role(postgres.dsn(name), ROLE, password=ROLE_PASSWORD)
    return name


@pytest.fixture
async def database(postgres: Postgres, shop_template: str) -> AsyncIterator[str]:
    """A shop's database for one test, by its DSN: commits are real, and nobody else sees them."""
    async with copied(postgres, shop_template) as dsn:
        yield dsn


@pytest.fixture
async def conn(database: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection to this test's database."""
    async with connected(database) as connection:
        yield connection


@pytest.fixture
def redis_url(valkey: Valkey) -> str:
    """An empty Redis database for this test. Channels of pub/sub are shared by all of them."""
    url = valkey.url(next(_numbers) % DATABASES)
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    return url


@pytest.fixture
def sandbox(sandbox_url: str) -> Sandbox:
    """A Stripe account of this test's own."""
    return Sandbox(sandbox_url, f"sk_test_{uuid.uuid4().hex}")


@pytest.fixture
async def shop(conn: asyncpg.Connection, sandbox: Sandbox) -> Shop:
    """A shop with a publishable key and a Stripe account."""
    return Shop(conn, sandbox, await create_publishable_key(conn))


@pytest.fixture
def settings(database: str, redis_url: str, sandbox: Sandbox) -> Settings:
    """How API and workers of this test are set up."""
    return settings_for(database, redis_url, sandbox)


@pytest.fixture
async def api(settings: Settings, shop: Shop) -> AsyncIterator[Api]:
    """The HTTP application of this test."""
    async with serving(settings, shop.key, checked=False) as api:
        yield api
