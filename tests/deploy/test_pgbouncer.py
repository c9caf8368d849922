"""Everything through PgBouncer in transaction mode: each transaction may be on another connection to Postgres."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from functools import partial

import asyncpg
import pytest

from app.domain.jobs import JobKind
from app.embedded.stripe_sandbox.client import Sandbox
from app.settings import Settings
from app.settings_table import DatabasePooler
from tests.deploy.pgbouncer import SERVERS, running_pgbouncer
from tests.promises import broken_promises
from tests.world import Shop, eventually, make_due, serving, settings_for, working

ORDERS = 12


@pytest.fixture
def bouncer(database: str) -> Iterator[str]:
    """The database through PgBouncer."""
    with running_pgbouncer(database) as dsn:
        yield dsn


@pytest.fixture
def settings(database: str, redis_url: str, sandbox: Sandbox, bouncer: str) -> Settings:
    """As docs/deploy.md says for a pooler."""
    return settings_for(
        database, redis_url, sandbox, DATABASE_URL=bouncer, DATABASE_POOLER="transaction", VOID_WAIT_SECONDS="0"
    )


@pytest.fixture
async def behind(bouncer: str) -> AsyncIterator[asyncpg.Connection]:
    """The doctor's way in."""
    conn = await asyncpg.connect(bouncer, statement_cache_size=0)
    yield conn
    await conn.close()


async def test_cancel_void_capture_and_release(shop: Shop, settings: Settings, behind: asyncpg.Connection) -> None:
    """Two APIs and a worker on three connections, all at once; and the shop is sound afterwards."""
    assert settings.database_pooler is DatabasePooler.TRANSACTION
    orders = [await shop.place() for _ in range(ORDERS)]
    kept, canceled = orders[: ORDERS // 3], orders[ORDERS // 3 :]
    async with serving(settings, shop.key) as one, serving(settings, shop.key) as other, working(settings):
        for order in kept:
            await eventually(partial(shop.job, order, JobKind.CAPTURE), within=60)
            await make_due(shop, order)
        answers = await asyncio.gather(
            *((one, other)[number % 2].cancel(order.id) for number, order in enumerate(canceled * 2))
        )
        assert {answer.status_code for answer in answers} == {200}, [answer.text for answer in answers]
        done = "select count(*) from grace.jobs where state = 'done' and kind in ('capture', 'void', 'release')"
        all_of_them = len(kept) + 2 * len(canceled)

        async def finished() -> bool:
            return bool(await shop.conn.fetchval(done) == all_of_them)

        await eventually(finished, within=60)
    ledger = await shop.sandbox.ledger()
    assert [ledger[order.intent_ids[0]].captures for order in orders] == [1] * len(kept) + [0] * len(canceled)
    assert [ledger[order.intent_ids[0]].voids for order in orders] == [0] * len(kept) + [1] * len(canceled)
    assert await shop.conn.fetchval("select sum(reserved_quantity) from inventory_level") == len(kept)
    assert await broken_promises(behind, shop.sandbox, at_rest=False) == []
    servers = await shop.conn.fetchval(
        "select count(*) from pg_stat_activity where datname = current_database() and usename = $1", "grace_under_test"
    )
    assert 1 < servers <= SERVERS, "they went around PgBouncer, or never met"


async def test_the_pool_prepares_nothing_that_outlasts_a_transaction(
    shop: Shop, settings: Settings, database: str
) -> None:
    """PgBouncer before 1.21 knows nothing of prepared statements: one name on two servers would be two statements."""
    order = await shop.place()
    async with serving(settings, shop.key) as api, working(settings):
        assert (await api.cancel(order.id)).status_code == 200
        for _ in range(SERVERS * 2):
            await asyncio.gather(*(_prepared(settings.database_url) for _ in range(SERVERS)))


async def _prepared(dsn: str) -> None:
    conn = await asyncpg.connect(dsn, statement_cache_size=0)
    try:
        async with conn.transaction():
            assert await conn.fetchval("select count(*) from pg_prepared_statements where name <> ''") == 0
            await conn.execute("select pg_sleep(0.05)")  # so that the others get other servers
    finally:
        await conn.close()
