"""Bring schema "grace" up to date while its processes work: numbered SQL files, each once, under one advisory lock.

A migration only adds, so that processes of the version before go on beside it. One whose first line is
``-- concurrently`` is run statement by statement outside a transaction, each of them safe to repeat: that is how an
index comes to a table that may be large.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import asyncpg

from app.ports import Connection
from app.store import session, turns
from app.store.functions import Function, install
from app.store.sql import SQL, statements

FOLDER: Final = SQL / "migrations"

_LOCK: Final = 7233_2111
_LEDGER: Final = """
create table if not exists grace.migrations (name text primary key, applied_at timestamptz not null default now());
"""
_PAUSE: Final = 0.5
_CONCURRENTLY: Final = "-- concurrently"
_INDEX: Final = re.compile(
    r"^create (?:unique )?index (?:concurrently )?(?:if not exists )?(\w+)\s+on grace\.", re.MULTILINE
)


class MigrationError(Exception):
    """Why a migration was not applied, in a line for the person at the terminal. What was applied before it stands."""


async def migrate(
    dsn: str, functions: Sequence[Function] = (), *, folder: Path = FOLDER, patience: float = turns.PATIENCE
) -> list[str]:
    """Apply what is missing, and create those of ``functions`` that are. The names applied, oldest first.

    Safe to run from several places at once: one runs, the others wait and find nothing to do. ``dsn`` must lead to
    Postgres itself, since the lock belongs to the session. Raises ``MigrationError`` where somebody keeps a table
    locked for more than ``patience`` seconds.
    """
    conn = await asyncpg.connect(dsn, timeout=10, server_settings={"application_name": "medusa-grace-migrate"})
    try:
        await session.state(conn, timeouts=False)
        # Asked again and again: to wait in a statement would hold a snapshot, which a concurrent index waits for.
        while not await conn.fetchval("select pg_try_advisory_lock($1)", _LOCK):  # noqa: ASYNC110
            await asyncio.sleep(_PAUSE)
        if await conn.fetchval("select to_regnamespace('grace')") is None:  # a role without the right may find it made
            await conn.execute("create schema grace")
        if await conn.fetchval("select to_regclass('grace.migrations')") is None:
            await conn.execute(_LEDGER)
        applied = []
        for name, text in await _missing(conn, folder):
            apply = _apply_concurrently if text.startswith(_CONCURRENTLY) else _apply_at_once
            await _in_turns(name, partial(apply, conn, name, text), patience)
            applied.append(name)
        return [*applied, *await install(conn, functions)]
    finally:
        await conn.close()


async def pending_in(conn: Connection) -> list[str]:
    """The migrations that this version needs and the database lacks. Those of later versions do not matter."""
    if await conn.fetchval("select to_regclass('grace.migrations')") is None:
        return [name for name, _ in statements(FOLDER)]
    return [name for name, _ in await _missing(conn, FOLDER)]


def index_names() -> list[str]:
    """The indexes that the migrations make, apart from those of keys and constraints."""
    return _INDEX.findall("".join(text for _, text in statements(FOLDER)))


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
    await conn.execute("insert into grace.migrations (name) values ($1)", name)


async def _in_turns(name: str, apply: Callable[[], Awaitable[None]], patience: float) -> None:
    try:
        await turns.in_turns(name, apply, patience)
    except turns.KeptWaitingError as error:
        message = (
            f"{name}: somebody keeps a table of schema grace locked for more than {patience:.0f} s ({error}); "
            "nothing of it was applied. Look for a long transaction in pg_stat_activity, then run this again"
        )
        raise MigrationError(message) from error


async def _missing(conn: Connection, folder: Path) -> list[tuple[str, str]]:
    done = {row["name"] for row in await conn.fetch("select name from grace.migrations")}
    return [(name, text) for name, text in statements(folder) if name not in done]
