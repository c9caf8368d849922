"""Bring schema "grace" up to date: numbered SQL files, each once, under one advisory lock."""

from __future__ import annotations

import re
from typing import Final

import asyncpg

from app.ports import Connection
from app.store.sql import SQL

_LOCK: Final = 7233_2111
_LEDGER: Final = """
create table if not exists grace.migrations (name text primary key, applied_at timestamptz not null default now());
"""


async def migrate(dsn: str) -> list[str]:
    """Apply what is missing, each file in a transaction of its own. The names applied, oldest first.

    Safe to run from several places at once: one runs, the others wait and find nothing to do.
    """
    conn = await asyncpg.connect(dsn, timeout=10)
    try:
        await conn.execute("select pg_advisory_lock($1)", _LOCK)
        if await conn.fetchval("select to_regnamespace('grace')") is None:  # a role without the right may find it made
            await conn.execute("create schema grace")
        if await conn.fetchval("select to_regclass('grace.migrations')") is None:
            await conn.execute(_LEDGER)
        applied = []
        for name, text in await _missing(conn):
            async with conn.transaction():
                await conn.execute(text)
                await conn.execute("insert into grace.migrations (name) values ($1)", name)
            applied.append(name)
        return applied
    finally:
        await conn.close()


async def pending_in(conn: Connection) -> list[str]:
    """The migrations that this version needs and the database lacks."""
    if await conn.fetchval("select to_regclass('grace.migrations')") is None:
        return [path.stem for path in sorted((SQL / "migrations").glob("*.sql"))]
    return [name for name, _ in await _missing(conn)]


def index_names() -> list[str]:
    """The indexes that the migrations make, apart from those of keys and constraints."""
    text = "".join(path.read_text(encoding="utf-8") for path in sorted((SQL / "migrations").glob("*.sql")))
    return re.findall(r"^create (?:unique )?index (\w+) on grace\.", text, flags=re.MULTILINE)


async def _missing(conn: Connection) -> list[tuple[str, str]]:
    done = {row["name"] for row in await conn.fetch("select name from grace.migrations")}
    files = sorted((SQL / "migrations").glob("*.sql"))
    return [(path.stem, path.read_text(encoding="utf-8")) for path in files if path.stem not in done]
