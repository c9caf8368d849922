"""A transaction ends as it ended: what happens to its connection afterwards changes nothing."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from app.ports import CommitUnknown, Unavailable
from app.store import database as databases
from app.store.database import PostgresDatabase

GONE = asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")


class LosingPool:
    """Takes connections back with an error, as asyncpg does when the server ended them meanwhile."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    def acquire(self, **options: Any) -> Any:
        return self._pool.acquire(**options)

    async def release(self, connection: Any, **options: Any) -> None:
        await self._pool.release(connection, **options)
        raise GONE

    async def close(self) -> None:
        await self._pool.close()


@pytest.fixture
async def db(database: str) -> Any:
    opened = await PostgresDatabase.open(database, max_size=2)
    yield opened
    await opened.close()


async def test_a_commit_that_was_answered_stands_though_the_connection_is_lost_at_its_return(
    db: PostgresDatabase, conn: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db, "_pool", LosingPool(db._pool))
    async with db.transaction("test") as mine:
        await mine.execute("insert into grace.cursors (name, position) values ('kept', '1')")
    assert await conn.fetchval("select position from grace.cursors where name = 'kept'") == "1"


async def test_a_commit_without_an_answer_is_unknown_whatever_its_connection_says(
    db: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db, "_pool", LosingPool(db._pool))
    with pytest.raises(CommitUnknown):
        async with db.transaction("test") as mine:
            await mine.execute("""
                create function pg_temp.die() returns trigger language plpgsql as
                $$ begin perform pg_terminate_backend(pg_backend_pid()); return null; end $$;
                create temporary table doomed (id int);
                create constraint trigger dies after insert on doomed
                deferrable initially deferred for each row execute function pg_temp.die();
                insert into doomed values (1);
            """)


async def test_no_connection_in_time_is_not_now(database: str) -> None:
    db = await PostgresDatabase.open(database, max_size=1, acquire_timeout=0.1)
    try:
        async with db.transaction("first"):
            with pytest.raises(Unavailable):
                async with db.transaction("second"):
                    pass
    finally:
        await db.close()


async def test_a_look_waits_no_longer_for_a_lock_than_a_transaction_does(
    db: PostgresDatabase, conn: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(databases, "LOCK_TIMEOUT", timedelta(seconds=0.2))
    async with conn.transaction():
        await conn.execute("lock table grace.cursors")
        with pytest.raises(Unavailable):
            async with db.read("test") as mine:
                await mine.fetchval("select count(*) from grace.cursors")
    async with db.read("test") as mine:
        assert await mine.fetchval("select count(*) from grace.cursors") == 0


async def test_behind_a_pooler_a_look_has_a_transaction_around_it(database: str) -> None:
    """Else its statement might be prepared on one server and run on another."""
    for pooled in (False, True):
        db = await PostgresDatabase.open(database, max_size=1, pooled=pooled)
        try:
            async with db.read("test") as mine:
                assert mine.is_in_transaction() is pooled
        finally:
            await db.close()


async def test_nothing_outlives_a_transaction(db: PostgresDatabase) -> None:
    """There is no reset between two users of a connection, and none is needed."""
    with contextlib.suppress(ZeroDivisionError):
        async with db.transaction("test") as mine:
            await mine.execute("set local statement_timeout = '7s'")
            await mine.execute("insert into grace.cursors (name, position) values ('half', 'done')")
            _ = 1 / 0
    for _ in range(3):
        async with db.read("test") as mine:
            assert not mine.is_in_transaction()
            assert await mine.fetchval("show statement_timeout") == "10s"
            assert await mine.fetchval("select count(*) from grace.cursors") == 0


async def test_a_crowd_is_eight_for_each_connection_and_all_of_it_gets_its_turn(db: PostgresDatabase) -> None:
    """Two connections: sixteen may wait."""
    served = []

    async def ask(number: int) -> None:
        async with db.transaction("test") as mine:
            served.append(await mine.fetchval("select $1::int", number))

    async with db.transaction("first"), db.transaction("second"):
        waiting = [asyncio.create_task(ask(number)) for number in range(15)]
        await asyncio.sleep(0)
        assert not db.crowded
        waiting.append(asyncio.create_task(ask(15)))
        await asyncio.sleep(0)
        assert db.crowded
    await asyncio.gather(*waiting)
    assert sorted(served) == list(range(16))
    assert not db.crowded


async def test_who_waited_in_vain_is_no_crowd(db: PostgresDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    async def ask() -> None:
        async with db.transaction("test"):
            pass

    async with db.transaction("first"), db.transaction("second"):
        monkeypatch.setattr(db, "_acquire_timeout", 0.05)
        outcomes = await asyncio.gather(*(ask() for _ in range(20)), return_exceptions=True)
        assert all(isinstance(outcome, Unavailable) for outcome in outcomes)
        assert not db.crowded


_DIES = """
    create function die() returns trigger language plpgsql as
    $$ begin perform pg_terminate_backend(pg_backend_pid()); return null; end $$;
    create constraint trigger dies after insert on grace.cursors
    deferrable initially deferred for each row execute function die();
"""


async def test_a_statement_by_itself_is_done_when_it_was_answered(
    db: PostgresDatabase, conn: asyncpg.Connection
) -> None:
    async with db.single("test") as mine:
        await mine.execute("insert into grace.cursors (name, position) values ('one', '1')")
        assert await conn.fetchval("select position from grace.cursors where name = 'one'") == "1"


async def test_a_statement_by_itself_whose_connection_is_lost_may_have_been_done(
    db: PostgresDatabase, conn: asyncpg.Connection
) -> None:
    await conn.execute(_DIES)
    with pytest.raises(CommitUnknown):
        async with db.single("test") as mine:
            await mine.execute("insert into grace.cursors (name, position) values ('one', '1')")


async def test_a_statement_by_itself_that_had_no_lock_in_time_was_not_done(
    db: PostgresDatabase, conn: asyncpg.Connection
) -> None:
    async with db.single("test") as mine:
        await mine.execute("set lock_timeout = '50ms'")
    async with conn.transaction():
        await conn.execute("lock table grace.cursors")
        with pytest.raises(Unavailable) as refused:
            async with db.single("test") as mine:
                await mine.execute("insert into grace.cursors (name, position) values ('one', '1')")
    assert not isinstance(refused.value, CommitUnknown)
