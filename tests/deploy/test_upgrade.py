"""The upgrade from 23ee18c under load: its processes go on beside this version, forwards, back and forwards again.

Its statements on ``grace.jobs`` are written out here as they were.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import asyncpg
import pytest

from app.domain.jobs import JobKind, JobState
from app.embedded.postgres import Postgres
from app.embedded.shop import create_publishable_key, create_tables
from app.embedded.stripe_sandbox.client import Sandbox
from app.roles import grant_role
from app.sql_files import read_statements
from app.store import jobs
from app.store.migrate import FOLDER, migrate
from tests.world import ROLE, ROLE_PASSWORD, Shop, eventually, settings_for, working

BEFORE: Final = ("0001_jobs", "0002_reason_label", "0003_people", "0004_events")
KIND: Final = JobKind.PUBLISH.value

_SCHEDULE: Final = """
insert into grace.jobs (kind, order_id, subject, run_at, request_id, traceparent)
select $1, 'order_1', $2, now(), null, null
on conflict on constraint jobs_one_per_subject do nothing
"""
_QUEUE_DUE: Final = """
with due as (
    select j.id
    from unnest($1::text[]) as k (kind)
    cross join lateral (
        select id from grace.jobs
        where kind = k.kind and state = 'scheduled' and run_at <= now()
        order by run_at
        limit greatest($2 - (select count(*) from grace.jobs where kind = k.kind and state = 'queued'), 0)
        for update skip locked
    ) as j
)
update grace.jobs as j
set state = 'queued', generation = j.generation + 1, updated_at = now()
from due
where j.id = due.id
returning j.id, j.kind, j.generation, j.order_id
"""
_TAKE: Final = """
with found as (select id, generation, state, in_doubt from grace.jobs where id = $1 for update),
before as (select id, in_doubt from found where generation = $2 and state = 'queued')
update grace.jobs as j
set state = 'running', attempts = j.attempts + 1, lease_until = now() + interval '20 seconds', in_doubt = true,
    updated_at = now()
from before
where j.id = before.id
returning j.id, j.generation
"""
_END: Final = """
update grace.jobs
set state = 'done', lease_until = null, in_doubt = false, failures = 0, failing_since = null, updated_at = now()
where id = $1 and generation = $2 and state = 'running'
returning id
"""


@pytest.fixture
async def old_database(postgres: Postgres, database: str, tmp_path: Path) -> AsyncIterator[str]:
    """A shop's database as the version before left it."""
    name = f"{database.rpartition('/')[2]}_old"
    admin = await asyncpg.connect(postgres.dsn())
    await admin.execute(f"create database {name}")
    dsn = postgres.dsn(name)
    conn = await asyncpg.connect(dsn)
    await create_tables(conn)
    await conn.close()
    for name_, text in read_statements(FOLDER):
        if name_ in BEFORE:
            (tmp_path / f"{name_}.sql").write_text(text)
    assert await migrate(dsn, folder=tmp_path) == list(BEFORE)
    yield dsn
    await admin.execute(f"drop database {name} with (force)")
    await admin.close()


class _OldWorker:
    """Relay and worker of 23ee18c, without what they do to the world."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self.done: list[int] = []
        self.lost = False
        """Its messages do not arrive: as when the last of its kind is stopped."""

    async def work(self, over: asyncio.Event) -> None:
        """Until it is over: queue, claim, end."""
        conn = await asyncpg.connect(self._dsn)
        while not over.is_set():
            for row in await conn.fetch(_QUEUE_DUE, [KIND], 5):
                if self.lost or await conn.fetchrow(_TAKE, row["id"], row["generation"]) is None:
                    continue
                assert await conn.fetchval(_END, row["id"], row["generation"]) == row["id"]
                self.done.append(row["id"])
            await asyncio.sleep(0.01)
        await conn.close()


async def test_old_and_new_processes_share_the_work_forwards_and_back(
    old_database: str, redis_url: str, sandbox: Sandbox
) -> None:
    """Each job is done once, by one of them. Rows of either are worked on by the other."""
    conn = await asyncpg.connect(old_database)
    shop = Shop(conn, sandbox, await create_publishable_key(conn))
    settings = settings_for(old_database, redis_url, sandbox)
    old, over, scheduled = _OldWorker(old_database), asyncio.Event(), 0

    async def ordered(number: int) -> None:
        """As the version before schedules: without a word about ids."""
        nonlocal scheduled
        for _ in range(number):
            scheduled += 1
            await conn.execute(_SCHEDULE, KIND, f"order.canceled:order_{scheduled}")
            await asyncio.sleep(0.002)

    async def all_done() -> bool:
        return bool(await conn.fetchval("select count(*) = $1 from grace.jobs where state = 'done'", scheduled))

    working_on = asyncio.create_task(old.work(over))
    await ordered(50)
    migrating = asyncio.create_task(migrate(old_database))
    await ordered(50)
    assert (await migrating)[:2] == ["0005_installation", "0005_job_ulids"]
    await grant_role(old_database, ROLE, password=ROLE_PASSWORD)
    async with working(settings):
        await ordered(100)
        await eventually(all_done, within=60)
    assert len(old.done) < scheduled, "the new one took its share"
    back = len(old.done)
    await ordered(50)
    await eventually(all_done, within=60)
    assert len(old.done) == back + 50, "the old one alone again"
    old.lost = True
    await ordered(10)
    await asyncio.sleep(0.1)
    over.set()
    await working_on
    await conn.execute("update grace.jobs set updated_at = now() - interval '1 minute' where state = 'queued'")
    async with working(settings):
        await ordered(50)
        await eventually(all_done, within=60)
    assert await conn.fetchval("select max(attempts) from grace.jobs") == 1
    assert await conn.fetchval("select sum(failures) from grace.jobs") == 0
    assert await shop.conn.fetchval("select count(*) from grace.incidents") == 0
    await conn.close()


@pytest.mark.parametrize("state", [state for state in JobState if state is not JobState.RUNNING])
async def test_a_job_of_any_state_gets_its_id_when_it_is_next_dispatched(
    old_database: str, conn: asyncpg.Connection, state: JobState
) -> None:
    """What an operator retries, and what is opened again, too. No row is rewritten before that."""
    own = await asyncpg.connect(old_database)
    await own.execute(
        "insert into grace.jobs (kind, order_id, subject, run_at, state, generation) "
        "values ('void', 'order_1', 'pay_1', now(), $1, 7)",
        state.value,
    )
    place = await own.fetchval("select ctid::text from grace.jobs")
    await migrate(old_database)
    assert await own.fetchval("select ctid::text from grace.jobs") == place
    match state:
        case JobState.QUEUED:
            await own.execute("update grace.jobs set state = 'scheduled'")  # as the sweep does
        case JobState.DEAD:
            await jobs.retry(own, "order_1", JobKind.VOID)
        case JobState.DONE | JobState.REMOVED:
            await jobs.again(own, JobKind.VOID, "order_1", "pay_1")
    ((_, ref),) = await jobs.queue_due(own, at_once=10)
    job = await jobs.take(own, ref)
    assert job is not None
    assert (job.subject, job.generation, job.ref) == ("pay_1", 8, ref)
    assert await own.fetchval("select ulid from grace.jobs") == ref.id
    await own.close()


async def test_a_large_table_is_migrated_while_orders_are_canceled(old_database: str) -> None:
    """No statement of a cancel waits: the table is neither rewritten nor locked for longer than a moment."""
    conn = await asyncpg.connect(old_database)
    await conn.execute("set session_replication_role = replica")
    await conn.execute(
        "insert into grace.jobs (kind, order_id, subject, state, run_at) "
        "select 'capture', 'order_' || i, 'pay_' || i, 'done', now() from generate_series(1, 300000) as i"
    )
    size = await conn.fetchval("select pg_relation_size('grace.jobs')")
    longest, over = 0.0, asyncio.Event()

    async def cancel() -> None:
        nonlocal longest
        number = 0
        loop = asyncio.get_running_loop()
        while not over.is_set():
            number += 1
            began = loop.time()
            await conn.execute(_SCHEDULE, "void", f"pay_{number}")
            await conn.execute("update grace.jobs set state = 'removed' where order_id = $1", f"order_{number}")
            longest = max(longest, loop.time() - began)

    canceling = asyncio.create_task(cancel())
    assert "0005_job_ulids" in await migrate(old_database)
    over.set()
    await canceling
    assert longest < 1.0
    assert await conn.fetchval("select pg_relation_size('grace.jobs')") < size * 1.2, "it was not rewritten"
    assert await conn.fetchval("select count(*) from grace.jobs where ulid is null") > 290_000
    await conn.close()
