"""Bring schema "grace" up to date while its processes work: numbered SQL files, each once, under one advisory lock.

A migration only adds, so that processes of the version before go on beside it. One whose first line is
``-- concurrently`` is run statement by statement outside a transaction, each of them safe to repeat: that is how an
index comes to a table that may be large. One whose first line is ``-- names the schema of Medusa's tables`` is applied
again when those tables have moved to another schema.

Functions carry their version in their name. A change is a new function in a new migration, so that processes of the
version before go on with the old one until ``drop_old_functions`` removes it.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Final

import asyncpg
import structlog

from app.operator_error import OperatorError
from app.ports import Connection
from app.sql_files import read_statements
from app.store import session, turns
from app.store.sql import SQL, statement

APPLICATION: Final = "medusa-grace-migrate"
FOLDER: Final = SQL / "migrations"

LOCK: Final = 7233_2111
_LEDGER: Final = """
create table if not exists grace.migrations (name text primary key, applied_at timestamptz not null default now());
"""
_RENEW: Final = """
insert into grace.installation (id) values (grace.new_ulid())
on conflict (is_the_one) do update set id = excluded.id, created_at = now()
returning id
"""
_PAUSE: Final = 0.5
_SAY_EVERY: Final = 10.0
"""Seconds between log lines while another migration works."""
_HOLDER: Final = statement("find_migration_lock")
_CONCURRENTLY: Final = "-- concurrently"
_NAMES_SCHEMA: Final = "-- names the schema of Medusa's tables"
_MOVED: Final = statement("definers_elsewhere")
_OLD_FUNCTIONS: Final = statement("old_functions")
_NOTE: Final = """
insert into grace.migrations (name) values ($1)
on conflict (name) do update set applied_at = now()
"""
_INDEX: Final = re.compile(
    r"^create (?:unique )?index (?:concurrently )?(?:if not exists )?(\w+)\s+on grace\.", re.MULTILINE
)


log = structlog.get_logger()


class MigrationError(OperatorError):
    """Why a migration was not applied, in a line for the person at the terminal. What was applied before it stands."""


async def migrate(dsn: str, *, folder: Path = FOLDER, patience: float = turns.PATIENCE) -> list[str]:
    """Apply the migrations that are missing. Return their names, oldest first.

    Safe to run from several places at once: one runs, the others wait and find nothing to do. ``dsn`` must lead to
    Postgres itself, since the lock belongs to the session. Raises ``MigrationError`` where another session keeps a
    table, or the lock of migrations without migrating, for more than ``patience`` seconds, and where a migration finds
    no tables of Medusa's.
    """
    conn = await asyncpg.connect(dsn, timeout=10, server_settings={"application_name": APPLICATION})
    try:
        await session.state(conn, timeouts=False)
        await _lock(conn, patience)
        if await conn.fetchval("select to_regnamespace('grace')") is None:  # a role without the right may find it made
            await conn.execute("create schema grace")
        if await conn.fetchval("select to_regclass('grace.migrations')") is None:
            await conn.execute(_LEDGER)
        applied = []
        for name, text in await _missing(conn, folder):
            apply = _apply_concurrently if text.startswith(_CONCURRENTLY) else _apply_at_once
            await _in_turns(name, partial(apply, conn, name, text), patience)
            applied.append(name)
        return applied
    finally:
        await conn.close()


async def pending_in(conn: Connection) -> list[str]:
    """The migrations that this version needs and the database lacks. Those of later versions do not matter."""
    if await conn.fetchval("select to_regclass('grace.migrations')") is None:
        return [name for name, _ in read_statements(FOLDER)]
    return [name for name, _ in await _missing(conn, FOLDER)]


def index_names() -> list[str]:
    """The indexes that the migrations make, apart from those of keys and constraints."""
    return _INDEX.findall("".join(text for _, text in read_statements(FOLDER)))


async def renew_installation(dsn: str) -> str:
    """Give the database an installation id that no other has, and return it."""
    conn = await asyncpg.connect(dsn, timeout=10, server_settings={"application_name": APPLICATION})
    try:
        return str(await conn.fetchval(_RENEW))
    finally:
        await conn.close()


async def drop_old_functions(dsn: str) -> list[str]:
    """Drop the functions of versions that named each by a digest of its text. Return what was done, a line each.

    For when no process of those versions runs any more: it would fail with each job and cancel.
    """
    conn = await asyncpg.connect(dsn, timeout=10, server_settings={"application_name": APPLICATION})
    try:
        async with conn.transaction():
            texts = [f"drop function {row['signature']}" for row in await conn.fetch(_OLD_FUNCTIONS)]
            for text in texts:
                await conn.execute(text)
        return texts
    finally:
        await conn.close()


async def _lock(conn: asyncpg.Connection, patience: float) -> None:
    """Take the lock of migrations. One that another migration holds is waited for as long as that works.

    Polls, because a statement that waits would hold a snapshot, which a concurrent index build waits for. Without
    tenacity: the end of the wait depends on what the holder does, not on the attempts.
    """
    began = logged = time.monotonic()
    while not await conn.fetchval("select pg_try_advisory_lock($1)", LOCK):
        holder = await conn.fetchrow(_HOLDER, LOCK)
        now = time.monotonic()
        if holder is not None and now - began > patience and (holder["idle"] or 0) > patience:
            message = (
                f"the session with pid {holder['pid']} ({holder['application_name'] or 'unnamed'}) keeps the lock of "
                f"migrations for more than {patience:.0f} s and does not migrate; nothing was applied. End it "
                f"(select pg_terminate_backend({holder['pid']})), then run this again"
            )
            raise MigrationError(message)
        if holder is not None and now - logged > _SAY_EVERY:
            log.info("migrate.waiting", lock_held_by=holder["pid"], seconds=round(now - began))
            logged = now
        await asyncio.sleep(_PAUSE)


async def _apply_at_once(conn: asyncpg.Connection, name: str, text: str) -> None:
    """All of the file or nothing of it."""
    async with conn.transaction():
        await conn.execute(f"set local lock_timeout = '{turns.LOCK_TIMEOUT}'")
        await conn.execute(text)
        await _note(conn, name)


async def _apply_concurrently(conn: asyncpg.Connection, name: str, text: str) -> None:
    """Waits for old transactions without keeping anybody from reading or writing."""
    for index in _INDEX.findall(text):  # a build that was broken off leaves an index that is never used
        invalid = "select not indisvalid from pg_index where indexrelid = to_regclass('grace.' || $1)"
        if await conn.fetchval(invalid, index):
            await conn.execute(f"drop index concurrently grace.{index}")
    for part in re.sub(r"--[^\n]*", "", text).split(";"):
        if part.strip():
            await conn.execute(part)
    await _note(conn, name)


async def _note(conn: asyncpg.Connection, name: str) -> None:
    await conn.execute(_NOTE, name)


async def _in_turns(name: str, apply: Callable[[], Awaitable[None]], patience: float) -> None:
    try:
        await turns.in_turns(name, apply, patience)
    except asyncpg.UndefinedTableError as error:
        raise MigrationError(f"{name}: {error}") from error
    except asyncpg.InsufficientPrivilegeError as error:
        raise MigrationError(f"{name}: {error}. Migrate as its owner") from error
    except turns.KeptWaitingError as error:
        message = (
            f"{name}: somebody keeps a table of schema grace locked for more than {patience:.0f} s ({error}); "
            "nothing of it was applied. Look for a long transaction in pg_stat_activity, then run this again"
        )
        raise MigrationError(message) from error


async def _missing(conn: Connection, folder: Path) -> list[tuple[str, str]]:
    done = {row["name"] for row in await conn.fetch("select name from grace.migrations")}
    moved = bool(await conn.fetch(_MOVED))
    return [
        (name, text)
        for name, text in read_statements(folder)
        if name not in done or (moved and text.startswith(_NAMES_SCHEMA))
    ]
