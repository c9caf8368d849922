"""Check, at start, that the live database has what our statements name, and lets us use it."""

from __future__ import annotations

from collections.abc import Mapping

import asyncpg
import structlog

from app.operator_error import OperatorError
from app.ports import Connection
from app.store.examine import unusable
from app.store.functions import Function, absent
from plugins.medusa_bridge.functions import FUNCTIONS, READING_TRIALS, TRIALS
from plugins.medusa_bridge.releases import find_release
from plugins.medusa_bridge.sqlfile import FOLDER

log = structlog.get_logger()


class SchemaMismatch(OperatorError):
    """Medusa's tables are not as this version of the bridge expects them. One line per statement that fails."""


async def recognise(conn: Connection) -> str:
    """Which Medusa's tables these are, said in the log too. Raises ``SchemaMismatch`` for a 1.x."""
    release = await find_release(conn)
    if release.name == "1.x":
        message = "these are the tables of Medusa 1.x: the bridge supports 2.x"
        raise SchemaMismatch(message)
    log.info("medusa.recognised", medusa=release.name)
    if release.unsupported:
        log.warning("medusa.not_supported", medusa=release.name, because=release.unsupported)
    return release.name


async def verify_schema(conn: Connection) -> None:
    """Recognise this Medusa, plan every statement of the bridge against the live database, and call its functions for
    nobody's order, inside the caller's transaction.

    Raises ``SchemaMismatch``, which names each statement with the table, column or privilege that it misses.
    """
    found = await recognise(conn)
    lacking = await absent(conn, FUNCTIONS)
    if lacking:
        names = ", ".join(f"{one.name} for the schema of Medusa's tables" if one.table else one.name for one in lacking)
        message = f"the database lacks {names}: run medusa-grace migrate"
        raise SchemaMismatch(message)
    problems = await unusable(conn, FOLDER)
    for error, lame in (await unusable_functions(conn, READING_TRIALS if problems else TRIALS)).items():
        problems.setdefault(error, []).extend(lame)
    if problems:
        lines = "\n  ".join(sorted(f"{name}: {error}" for error, names in problems.items() for name in names))
        message = (
            f"this database does not have what the Medusa bridge needs (found: {found}; where permission is denied, "
            f"run medusa-grace migrate --grants ROLE):\n  {lines}"
        )
        raise SchemaMismatch(message)


async def unusable_functions(conn: Connection, trials: Mapping[Function, str]) -> dict[str, list[str]]:
    """Call functions, as Postgres does not look into one before. Why they fail, and which. Needs a transaction."""
    problems: dict[str, list[str]] = {}
    for function, call in trials.items():
        await conn.execute("savepoint trial")
        try:
            await conn.execute(call)
        except asyncpg.PostgresError as error:
            problems.setdefault(str(error).splitlines()[0], []).append(function.name)
        await conn.execute("rollback to savepoint trial")
    return problems
