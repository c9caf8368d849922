"""Questions about the tables, for a check that must not end where a table is missing."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import asyncpg
import msgspec

from app.domain.findings import Defect, Finding
from app.domain.incidents import IncidentKind
from app.ports import Connection
from app.store.migrate import index_names
from app.store.sql import SQL, statement, statements

_STUCK_JOBS: Final = statement("find_stuck_jobs")
_DEAD_JOBS: Final = statement("find_dead_jobs")
_OPEN_INCIDENTS: Final = statement("find_open_incidents")
_BACKLOG: Final = statement("find_backlog")
_UNANALYZED: Final = statement("find_unanalyzed")
_OWN_INDEXES: Final = statement("find_own_indexes")

_NOT_THERE: Final = (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError, asyncpg.InvalidSchemaNameError)


class OpenIncident(msgspec.Struct, frozen=True, kw_only=True):
    """An incident that a person is to see to."""

    order_id: str
    kind: IncidentKind
    detail: str
    worked_on: bool
    """A job of the same kind still tries, or was given up."""


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


def as_findings(defect: Defect, rows: list[asyncpg.Record]) -> list[Finding]:
    """One finding a row of ``order_id`` and ``detail``."""
    return [Finding(defect=defect, order_id=row["order_id"], detail=row["detail"]) for row in rows]


async def stuck_jobs(conn: Connection, *, lenient: bool) -> list[Finding]:
    """Jobs that do not move."""
    return as_findings(Defect.JOB_STUCK, await ask(conn, _STUCK_JOBS, lenient=lenient))


async def dead_jobs(conn: Connection, *, lenient: bool) -> list[Finding]:
    """Jobs that were given up without a word."""
    return as_findings(Defect.JOB_DEAD, await ask(conn, _DEAD_JOBS, lenient=lenient))


async def open_incidents(conn: Connection) -> list[OpenIncident]:
    """All that are open, oldest first."""
    return [
        OpenIncident(
            order_id=row["order_id"],
            kind=IncidentKind(row["kind"]),
            detail=row["detail"],
            worked_on=row["worked_on"],
        )
        for row in await conn.fetch(_OPEN_INCIDENTS)
    ]


async def backlog(conn: Connection, *, late_after: timedelta) -> tuple[int, int]:
    """How many incidents are open, and how many jobs are late; zeros where a table is missing."""
    rows = await ask(conn, _BACKLOG, late_after, lenient=True)
    return (rows[0]["open_incidents"], rows[0]["late_jobs"]) if rows else (0, 0)


async def unanalyzed(conn: Connection, tables: Sequence[str]) -> list[str]:
    """Tables with rows and without statistics: ``tables`` of the shop's, and ours."""
    return [row["name"] for row in await conn.fetch(_UNANALYZED, list(tables))]


async def missing_indexes(conn: Connection) -> list[Finding]:
    """Indexes of the migrations that are not there, or not valid."""
    return as_findings(Defect.MISSING_INDEX, await conn.fetch(_OWN_INDEXES, index_names()))


async def unusable(conn: Connection, folder: Path = SQL) -> dict[str, list[str]]:
    """As ``gaps``, of the statements that the processes run, and for want of a privilege too. Nothing is run."""
    return await gaps(conn, folder, planned=True)


async def gaps(conn: Connection, folder: Path = SQL, *, planned: bool = False) -> dict[str, list[str]]:
    """Why statements of ``folder`` cannot be prepared in the live database, and which. Needs a transaction.

    ``planned`` leaves out the questions of an examination (``find_``) and plans the others, which asks for privileges.
    """
    problems: dict[str, list[str]] = {}
    for name, text in statements(folder):
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


def missing_schema(problems: dict[str, list[str]]) -> list[Finding]:
    """One finding per thing that is missing."""
    return [
        Finding(defect=Defect.MISSING_SCHEMA, order_id=None, detail=f"{error} (for {', '.join(names)})")
        for error, names in problems.items()
    ]
