"""Questions about the tables, for a check that must not end where a table is missing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import msgspec

from app.domain.findings import Defect, Finding, as_findings
from app.domain.incidents import IncidentKind
from app.ports import Connection
from app.schema_checks import ask
from app.store.migrate import index_names
from app.store.sql import statement

_STUCK_JOBS: Final = statement("find_stuck_jobs")
_DEAD_JOBS: Final = statement("find_dead_jobs")
_OPEN_INCIDENTS: Final = statement("find_open_incidents")
_BACKLOG: Final = statement("find_backlog")
_UNANALYZED: Final = statement("find_unanalyzed")
_OWN_INDEXES: Final = statement("find_own_indexes")


class OpenIncident(msgspec.Struct, frozen=True, kw_only=True):
    """An incident that a person is to see to."""

    order_id: str
    kind: IncidentKind
    detail: str
    worked_on: bool
    """A job of the same kind still tries, or was given up."""


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
