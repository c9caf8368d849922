"""Check, at start, that the live database has what our statements name, and lets us use it."""

from __future__ import annotations

from typing import Final

import asyncpg
import structlog

from app.ports import Connection
from app.store.examine import unusable
from app.store.functions import absent
from plugins.medusa_bridge.functions import FUNCTIONS, TRIALS
from plugins.medusa_bridge.sqlfile import FOLDER, statement

_KIND: Final = statement("medusa_kind")

log = structlog.get_logger()


class SchemaMismatch(Exception):
    """Medusa's tables are not as this version of the bridge expects them. One line per statement that fails."""


async def recognise(conn: Connection) -> str:
    """Which Medusa's tables these are, in words for the log. Raises ``SchemaMismatch`` for a 1.x."""
    kind = await conn.fetchrow(_KIND)
    assert kind is not None
    if kind["first"]:
        message = "these are the tables of Medusa 1.x: the bridge supports 2.x"
        raise SchemaMismatch(message)
    if not kind["there"]:
        return "none"
    if not kind["credit_lines"]:
        return "2.x before credit lines, as 2.0" if kind["early"] else "2.x before credit lines"
    return "2.x as of 2.21" if kind["locale"] else "2.x between 2.0 and 2.21"


async def verify_schema(conn: Connection) -> None:
    """Recognise this Medusa, plan every statement of the bridge against the live database, and call its functions for
    nobody's order, inside the caller's transaction.

    Raises ``SchemaMismatch``, which names each statement with the table, column or privilege that it misses.
    """
    kind = await recognise(conn)
    log.info("medusa.recognised", medusa=kind)
    lacking = await absent(conn, FUNCTIONS)
    if lacking:
        message = f"the database lacks {', '.join(function.name for function in lacking)}: run medusa-grace migrate"
        raise SchemaMismatch(message)
    problems = await unusable(conn, FOLDER) or await _unusable_functions(conn)
    if problems:
        lines = "\n  ".join(sorted(f"{name}: {error}" for error, names in problems.items() for name in names))
        message = (
            f"this database does not have what the Medusa bridge needs (found: {kind}; where permission is denied, run "
            f"medusa-grace migrate --grants ROLE):\n  {lines}"
        )
        raise SchemaMismatch(message)


async def _unusable_functions(conn: Connection) -> dict[str, list[str]]:
    """Postgres does not look into a function before it is called."""
    problems: dict[str, list[str]] = {}
    for function, call in TRIALS.items():
        await conn.execute("savepoint trial")
        try:
            await conn.execute(call)
        except asyncpg.PostgresError as error:
            problems.setdefault(str(error).splitlines()[0], []).append(function.name)
        await conn.execute("rollback to savepoint trial")
    return problems
