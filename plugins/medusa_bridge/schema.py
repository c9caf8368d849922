"""Check, at start, that the live database has what our statements name, and lets us use it."""

from __future__ import annotations

from typing import Final

import asyncpg
import structlog

from app.operator_error import OperatorError
from app.ports import Connection
from app.schema_checks import unusable
from plugins.medusa_bridge.grants import OF_DEFINERS, UPDATE
from plugins.medusa_bridge.order_rows import read
from plugins.medusa_bridge.releases import find_release
from plugins.medusa_bridge.sqlfile import FOLDER, statement

_COLUMNS: Final = statement("columns_not_usable")

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
    """Recognise this Medusa, and look for all that the bridge's statements and functions need, inside the caller's
    transaction.

    Raises ``SchemaMismatch``, which names each statement with the table, column or privilege that it misses.
    """
    found = await recognise(conn)
    problems = await unusable(conn, FOLDER)
    for error, names in (await function_gaps(conn)).items():
        problems.setdefault(error, []).extend(names)
    if problems:
        lines = "\n  ".join(sorted(f"{name}: {error}" for error, names in problems.items() for name in names))
        message = (
            f"this database does not have what the Medusa bridge needs (found: {found}; where permission is denied, "
            f"run medusa-grace migrate --grants ROLE):\n  {lines}"
        )
        raise SchemaMismatch(message)


async def function_gaps(conn: Connection, *, writes: bool = True) -> dict[str, list[str]]:
    """Return what functions in schema ``grace`` lack of Medusa's tables, with the names of those that lack it. Needs a
    transaction.

    Postgres plans the statements of a function when it first runs them, so that a missing column would be met by the
    first cancel: the columns that definers read are looked up, and with ``writes`` those that functions write; then an
    order is read that no shop has.
    """
    problems: dict[str, list[str]] = {}
    for row in await conn.fetch(_COLUMNS, *map(list, zip(*_needed(writes=writes), strict=True))):
        problems.setdefault(f"column {row['name']}: {row['reason']}", []).append(row["used_by"])
    await conn.execute("savepoint reading")
    try:
        await read(conn, "", lock=False)
    except asyncpg.PostgresError as error:
        problems.setdefault(str(error).splitlines()[0], []).append("read_order_v1")
    await conn.execute("rollback to savepoint reading")
    return problems


def _needed(*, writes: bool) -> list[tuple[str, str, str, str]]:
    """Return table, privilege, column and what needs it; definers read with the rights of their owner."""
    read = [(table, "", column, "definers") for table, columns in OF_DEFINERS.items() for column in columns]
    if not writes:
        return read
    return read + [
        (table, "update", column, "cancel_order_v1") for table, columns in UPDATE.items() for column in columns
    ]
