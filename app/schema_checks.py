"""Whether a live database has what statements name, for a check that must not end where a table is missing."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import asyncpg

from app.ports import Connection
from app.sql_files import read_statements

_NOT_THERE: Final = (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError, asyncpg.InvalidSchemaNameError)


@contextlib.asynccontextmanager
async def skipping_gaps(conn: Connection, *, lenient: bool) -> AsyncIterator[None]:
    """Where ``lenient``, ends quietly at a table or column that is missing: ``gaps`` names those."""
    if not lenient:
        yield
        return
    with contextlib.suppress(*_NOT_THERE):
        async with conn.transaction():
            yield


async def ask(conn: Connection, text: str, *arguments: Any, lenient: bool) -> list[asyncpg.Record]:
    """The rows of a question; none, where ``lenient`` and something is missing."""
    async with skipping_gaps(conn, lenient=lenient):
        return await conn.fetch(text, *arguments)
    return []


async def unusable(conn: Connection, folder: Path) -> dict[str, list[str]]:
    """As ``gaps``, of the statements that the processes run, and for want of a privilege too. Nothing is run."""
    return await gaps(conn, folder, planned=True)


async def gaps(conn: Connection, folder: Path, *, planned: bool = False) -> dict[str, list[str]]:
    """Why statements of ``folder`` cannot be prepared in the live database, and which. Needs a transaction.

    ``planned`` leaves out the questions of an examination (``find_``) and plans the others, which asks for privileges.
    """
    problems: dict[str, list[str]] = {}
    for name, text in read_statements(folder):
        if planned and name.startswith("find_"):
            continue
        await conn.execute("savepoint gaps")
        try:
            prepared = await conn.prepare(text)
            if planned:
                await plan(conn, text, len(prepared.get_parameters()))
        except asyncpg.PostgresError as error:
            problems.setdefault(str(error).splitlines()[0], []).append(name)  # the rest are hints
        await conn.execute("rollback to savepoint gaps")
    return problems


async def plan(conn: Connection, text: str, parameters: int) -> None:
    """Plan a statement as for any values, so that the privileges on each of its tables are checked.

    Planned for null, a part that null rules out is left out, and its privileges with it.
    """
    values = f"({', '.join(['null'] * parameters)})" if parameters else ""
    await conn.execute("set local plan_cache_mode = force_generic_plan")
    await conn.execute(f"prepare grace_plan as {text}")
    await conn.execute("savepoint planning")
    try:
        await conn.execute(f"explain execute grace_plan {values}")
    finally:
        await conn.execute("rollback to savepoint planning")
        await conn.execute("deallocate grace_plan")
