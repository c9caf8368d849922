"""A database or a role may have defaults of its own: no statement depends on them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from functools import partial

import asyncpg
import pytest

from app.doctor import run_doctor
from app.domain.jobs import JobKind
from app.embedded.stripe_sandbox.client import Sandbox
from app.main import check_database
from app.roles import grant_role
from app.runtime import NotReady
from app.settings import Settings
from app.store.database import PostgresDatabase
from app.store.migrate import migrate
from tests.promises import broken_promises
from tests.world import ROLE, Api, Shop, as_role, eventually, make_due, serving, settings_for, working

DEFAULTS = {
    "default_transaction_isolation": "serializable",
    "default_transaction_deferrable": "on",
    "timezone": "Asia/Kathmandu",
    "datestyle": "SQL, DMY",
    "intervalstyle": "sql_standard",
    "bytea_output": "escape",
    "extra_float_digits": "-15",
    "standard_conforming_strings": "off",
    "backslash_quote": "off",
    "row_security": "off",
    "synchronous_commit": "off",
    "jit": "on",
    "jit_above_cost": "0",
    "quote_all_identifiers": "on",
    "transform_null_equals": "on",
    "array_nulls": "off",
    "transaction_timeout": "300ms",
    "statement_timeout": "40ms",
    "lock_timeout": "1ms",
    "idle_in_transaction_session_timeout": "1ms",
}


async def set_defaults(dsn: str, defaults: dict[str, str]) -> None:
    conn = await asyncpg.connect(dsn)
    name = await conn.fetchval("select current_database()")
    for setting, value in defaults.items():
        quoted = value if setting == "datestyle" else f"'{value}'"
        await conn.execute(f"alter database {name} set {setting} = {quoted}")
    await conn.close()


@pytest.fixture(params=["direct", "pooled"])
async def api(
    request: pytest.FixtureRequest, database: str, redis_url: str, sandbox: Sandbox, shop: Shop
) -> AsyncIterator[Api]:
    """An API of a database with strange defaults, on connections made after they were set."""
    await set_defaults(database, DEFAULTS)
    pooler = {"pooled": "transaction", "direct": "none"}[request.param]
    settings = settings_for(database, redis_url, sandbox, DATABASE_POOLER=pooler, VOID_WAIT_SECONDS="0")
    async with serving(settings, shop.key) as api:
        yield api


@pytest.mark.parametrize("isolation", ["repeatable read", "serializable"])
async def test_ten_cancels_of_an_order_in_a_database_of_another_isolation(
    database: str, redis_url: str, sandbox: Sandbox, shop: Shop, isolation: str
) -> None:
    await set_defaults(database, {"default_transaction_isolation": isolation})
    settings = settings_for(database, redis_url, sandbox, VOID_WAIT_SECONDS="0")
    async with serving(settings, shop.key) as api:
        for _ in range(5):
            order = await shop.place()
            answers = await asyncio.gather(*(api.cancel(order.id) for _ in range(10)))
            assert [answer.status_code for answer in answers] == [200] * 10


async def test_cancels_answer_whatever_the_defaults(shop: Shop, api: Api) -> None:
    order = await shop.place()
    answers = await asyncio.gather(*(api.cancel(order.id, json={"reason": "a\\'b"}) for _ in range(10)))
    assert [answer.status_code for answer in answers] == [200] * 10
    receipt = await api.client.get(
        f"/store/orders/{order.id}/cancellation", headers=dict(answers[0].request.headers) | {"content-length": "0"}
    )
    assert receipt.status_code == 200
    assert receipt.json()["reason"] == "a\\'b"
    assert receipt.json()["canceled_at"].endswith("Z")


async def test_workers_work_whatever_the_defaults(database: str, redis_url: str, sandbox: Sandbox, shop: Shop) -> None:
    await set_defaults(database, DEFAULTS)
    settings = settings_for(database, redis_url, sandbox, VOID_WAIT_SECONDS="0")
    canceled = [await shop.place() for _ in range(6)]
    kept = [await shop.place() for _ in range(6)]
    async with serving(settings, shop.key) as api, working(settings):
        for order in kept:
            await eventually(partial(shop.job, order, JobKind.CAPTURE), within=60)
            await make_due(shop, order)
        answers = await asyncio.gather(*(api.cancel(order.id) for order in canceled))
        assert {answer.status_code for answer in answers} == {200}
        left = "select count(*) filter (where state not in ('done', 'removed')), count(*) from grace.jobs"

        async def all_done() -> bool:
            unfinished, jobs = await shop.row(left)
            return bool(unfinished == 0 and jobs > len(kept) + 2 * len(canceled))

        await eventually(all_done, within=60)
    assert await broken_promises(shop.conn, shop.sandbox) == []


async def test_migrate_grants_and_doctor_whatever_the_defaults(
    database: str, shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    await set_defaults(database, DEFAULTS)
    await migrate(database)
    await grant_role(database, ROLE, password=None)
    await shop.place()
    environ = {"DATABASE_URL": as_role(database)}
    assert await asyncio.to_thread(run_doctor, environ, ask_stripe=False, as_json=True) == 0
    assert json.loads(capsys.readouterr().out)["findings"] == []


WANTED = {
    "transaction_isolation": "read committed",
    "timezone": "UTC",
    "datestyle": "ISO, MDY",
    "intervalstyle": "postgres",
    "standard_conforming_strings": "on",
    "row_security": "on",
    "synchronous_commit": "on",
    "jit": "off",
    "quote_all_identifiers": "off",
    "transform_null_equals": "off",
    "array_nulls": "on",
    "transaction_timeout": "0",
    "statement_timeout": "10s",
    "lock_timeout": "2s",
    "idle_in_transaction_session_timeout": "10s",
}


@pytest.mark.parametrize("pooled", [False, True])
async def test_every_way_to_a_connection_states_what_it_needs(database: str, pooled: bool) -> None:
    await set_defaults(database, DEFAULTS)
    db = await PostgresDatabase.open(as_role(database), max_size=1, pooled=pooled)
    try:
        for way in (db.transaction, db.read, db.single):
            async with way("test") as conn:
                found = {name: await conn.fetchval(f"show {name}") for name in WANTED}
            assert found == WANTED, way.__name__
    finally:
        await db.close()


@pytest.mark.parametrize("durability", ["remote_apply", "local"])
async def test_a_durability_that_keeps_commits_is_left_as_it_is(database: str, durability: str) -> None:
    await set_defaults(database, {"synchronous_commit": durability})
    for pooled in (False, True):
        db = await PostgresDatabase.open(as_role(database), max_size=1, pooled=pooled)
        try:
            async with db.transaction("test") as conn:
                assert await conn.fetchval("show synchronous_commit") == durability
        finally:
            await db.close()


async def test_a_database_that_is_read_only_is_said_so(database: str, shop: Shop, settings: Settings) -> None:
    """As some providers make it when the disk is full: nothing is written in spite of that."""
    order = await shop.place()
    async with serving(settings, shop.key) as api:
        assert (await api.client.get("/health/ready")).status_code == 200
        await set_defaults(database, {"default_transaction_read_only": "on"})
        await shop.conn.execute("select pg_terminate_backend(pid) from pg_stat_activity where usename = $1", ROLE)
        for _ in range(10):  # connections that ended are noticed one by one
            ready = await api.client.get("/health/ready")
        assert (await api.cancel(order.id)).status_code == 503
        assert ready.status_code == 503
        assert ready.json()["checks"]["database"] == {"status": "failed", "detail": "the database is read-only"}
    with pytest.raises(NotReady, match="read-only"):
        await check_database(settings)
