"""Migrations while processes work: they only add, wait in short turns, and come once."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import asyncpg
import pytest
from ulid import ULID

from app.runtime import NotReady
from app.settings import Settings
from app.sql_files import read_statements
from app.store import migrate as migrations
from app.store import turns
from app.store.migrate import FOLDER, MigrationError, index_names, migrate, renew_installation
from tests.usecases.hand import opened
from tests.world import Shop, eventually, serving, working

ADDS = """
alter table grace.jobs add column of_tomorrow text;
alter table grace.cancellations add column of_tomorrow text;
alter table grace.incidents add column of_tomorrow text;
create table grace.of_tomorrow (id bigint generated always as identity primary key, what text not null);
"""
INDEXES = """-- concurrently
create index concurrently if not exists jobs_of_tomorrow on grace.jobs (of_tomorrow);
create unique index concurrently if not exists jobs_of_tomorrow_too on grace.jobs (id, of_tomorrow);
"""
LARGE = ("jobs", "cancellations")
"""Tables that grow with every order."""


@pytest.fixture
def later(tmp_path: Path) -> Path:
    """The migrations of a version to come."""
    for name, text in read_statements(FOLDER):
        (tmp_path / f"{name}.sql").write_text(text)
    (tmp_path / "9001_adds.sql").write_text(ADDS)
    (tmp_path / "9002_indexes.sql").write_text(INDEXES)
    return tmp_path


async def test_processes_of_the_version_before_work_on(
    shop: Shop, settings: Settings, database: str, later: Path
) -> None:
    """An API and a worker under load: no answer is worse for it, and no job fails."""
    orders = [await shop.place() for _ in range(30)]
    answers: list[int] = []
    async with serving(settings, shop.key) as api, working(settings):
        for number, order in enumerate(orders):
            answers.append((await api.cancel(order.id)).status_code)
            if number == 5:
                migrating = asyncio.create_task(migrate(database, folder=later))
        assert await migrating == ["9001_adds", "9002_indexes"]

        async def at_rest() -> bool:
            return not await shop.conn.fetchval(
                "select count(*) from grace.jobs where state not in ('done', 'removed')"
            )

        await eventually(at_rest, within=60)
    assert set(answers) == {200}
    assert await shop.conn.fetchval("select sum(failures) from grace.jobs") == 0
    async with opened(settings):
        pass  # and one of the version before may start beside the new schema


async def test_two_at_once_apply_each_once(shop: Shop, database: str, later: Path) -> None:
    done = await asyncio.gather(*(migrate(database, folder=later) for _ in range(4)))
    assert sorted(done, key=len) == [[], [], [], ["9001_adds", "9002_indexes"]]


async def test_it_waits_for_a_lock_without_keeping_others_waiting(
    shop: Shop, database: str, later: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "LOCK_TIMEOUT", "100ms")
    reader = await asyncpg.connect(database)
    transaction = reader.transaction()
    await transaction.start()
    await reader.fetchval("select count(*) from grace.incidents")
    migrating = asyncio.create_task(migrate(database, folder=later))

    async def gave_way() -> bool:
        """Between two tries nobody waits for the table, the third one of the file."""
        query = "select count(*) from pg_locks where relation = 'grace.incidents'::regclass and not granted"
        return bool(await shop.conn.fetchval(query) == 0)

    for _ in range(2):
        await eventually(lambda: _waits(shop), within=30)
        await eventually(gave_way, within=30)
    assert not migrating.done()
    await transaction.commit()
    await reader.close()
    assert await asyncio.wait_for(migrating, 60) == ["9001_adds", "9002_indexes"]


@pytest.mark.parametrize("application", ["psql", migrations.APPLICATION])
async def test_a_session_that_keeps_the_lock_and_does_not_migrate_is_named(
    shop: Shop, database: str, later: Path, application: str
) -> None:
    """A shell that somebody left open, or a migration whose process is gone."""
    holder = await asyncpg.connect(database, server_settings={"application_name": application})
    await holder.execute(f"select pg_advisory_lock({migrations.LOCK})")
    named = rf"pid {holder.get_server_pid()} \({application}\) keeps the lock of migrations .* run this again"
    with pytest.raises(MigrationError, match=named):
        await migrate(database, folder=later, patience=0.3)
    await holder.close()
    assert await migrate(database, folder=later) == ["9001_adds", "9002_indexes"]


async def test_a_migration_at_work_is_waited_for_however_long_it_takes(
    shop: Shop, database: str, later: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(migrations, "_SAY_EVERY", 0.1)
    other = await asyncpg.connect(database, server_settings={"application_name": migrations.APPLICATION})
    await other.execute(f"select pg_advisory_lock({migrations.LOCK})")
    building = asyncio.create_task(other.execute("select pg_sleep(2)"))
    waiting = asyncio.create_task(migrate(database, folder=later, patience=0.3))
    await building
    assert not waiting.done()
    await other.close()
    assert await waiting == ["9001_adds", "9002_indexes"]
    assert f"'lock_held_by': {other.get_server_pid()}" in caplog.text


async def test_a_copy_gets_an_id_of_its_own(shop: Shop, settings: Settings, database: str) -> None:
    before = await shop.conn.fetchval("select id from grace.installation")
    assert await migrate(database) == []
    assert await shop.conn.fetchval("select id from grace.installation") == before
    renewed = await renew_installation(database)
    assert renewed != before
    assert ULID.from_str(renewed)
    assert [row["id"] for row in await shop.conn.fetch("select id from grace.installation")] == [renewed]
    await shop.conn.execute("delete from grace.installation")
    with pytest.raises(NotReady, match="run medusa-grace migrate --new-installation"):
        async with opened(settings):
            pytest.fail("it started")
    assert await renew_installation(database) == await shop.conn.fetchval("select id from grace.installation")


async def test_it_gives_up_in_words_and_leaves_nothing_half_done(
    shop: Shop, database: str, later: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "LOCK_TIMEOUT", "50ms")
    async with shop.conn.transaction():
        await shop.conn.fetchval("select count(*) from grace.incidents")
        with pytest.raises(MigrationError, match=r"9001_adds: somebody keeps a table .* run this again"):
            await migrate(database, folder=later, patience=0.2)
    query = "select count(*) from pg_attribute where attname = 'of_tomorrow' and attrelid = 'grace.jobs'::regclass"
    assert await shop.conn.fetchval(query) == 0
    assert await migrate(database, folder=later) == ["9001_adds", "9002_indexes"]


async def test_an_index_that_was_broken_off_is_built_anew(shop: Shop, database: str, later: Path) -> None:
    """As a killed migrate leaves it: there by name, and never used."""
    await shop.conn.execute(ADDS + "create index jobs_of_tomorrow on grace.jobs (of_tomorrow)")
    await shop.conn.execute("insert into grace.migrations (name) values ('9001_adds')")
    await shop.conn.execute(
        "update pg_index set indisvalid = false where indexrelid = 'grace.jobs_of_tomorrow'::regclass"
    )
    assert await migrate(database, folder=later) == ["9002_indexes"]
    query = "select indisvalid from pg_index where indexrelid = to_regclass('grace.' || $1)"
    for name in ("jobs_of_tomorrow", "jobs_of_tomorrow_too"):
        assert await shop.conn.fetchval(query, name) is True


async def test_a_new_process_beside_the_old_schema_says_what_to_do(
    shop: Shop, settings: Settings, later: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "FOLDER", later)
    with pytest.raises(NotReady, match="lacks 9001_adds, 9002_indexes: run medusa-grace migrate"):
        async with opened(settings):
            pytest.fail("it started")


def test_index_names_are_read_from_both_kinds_of_file(later: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrations, "FOLDER", later)
    assert {"jobs_order", "incidents_one_open", "jobs_of_tomorrow", "jobs_of_tomorrow_too"} <= set(index_names())


def test_migrations_only_add() -> None:
    """What processes of the version before could trip over, or wait for: rewritten or dropped things, columns that
    must be filled, and indexes that are built while a large table stands still."""
    for _, text in read_statements(FOLDER)[1:]:
        _adds(text)
    for bad in (
        "alter table grace.jobs rename column kind to sort",
        "alter table grace.jobs add column a int, add column of_tomorrow text not null",
        "create index jobs_more on grace.jobs (kind)",
    ):
        with pytest.raises(AssertionError):
            _adds(bad)


def _adds(migration: str) -> None:
    text = re.sub(r"--[^\n]*", "", migration).lower()
    assert not re.search(r"\b(drop|rename|truncate|lock table|set not null|alter column \w+ (set data )?type)\b", text)
    for added in re.findall(r"add column (?:if not exists )?([^,;]+)", text):
        assert "not null" not in added or "default" in added, added
    made_here = set(re.findall(r"create table (?:if not exists )?grace\.(\w+)", text))
    for table in re.findall(r"create (?:unique )?index (?!concurrently)\w+ on grace\.(\w+)", text):
        assert table in made_here or table not in LARGE, f"{table} may be large: -- concurrently"


async def _waits(shop: Shop) -> bool:
    query = "select count(*) from pg_locks where relation = 'grace.incidents'::regclass and not granted"
    return bool(await shop.conn.fetchval(query))
