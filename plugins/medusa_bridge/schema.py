"""Check, at start, that the live database has what our statements name, and lets us use it."""

from __future__ import annotations

from app.ports import Connection
from app.store.examine import unusable
from plugins.medusa_bridge.sqlfile import FOLDER


class SchemaMismatch(Exception):
    """Medusa's tables are not as this version of the bridge expects them. One line per statement that fails."""


async def verify_schema(conn: Connection) -> None:
    """Plan every statement of the bridge against the live database, inside the caller's transaction.

    Raises ``SchemaMismatch``, which names each statement with the table, column or privilege that it misses.
    """
    problems = await unusable(conn, FOLDER)
    if problems:
        lines = "\n  ".join(sorted(f"{name}: {error}" for error, names in problems.items() for name in names))
        message = (
            "this database does not have what the Medusa bridge needs (where permission is denied, run "
            f"medusa-grace migrate --grants ROLE):\n  {lines}"
        )
        raise SchemaMismatch(message)
