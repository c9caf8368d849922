"""The database role of the processes: its rights in Medusa's schema and in schema ``grace`` together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from app.domain.rights import Right
from app.operator_error import OperatorError
from app.ports import Connection
from app.store import grants, session
from app.store.migrate import pending_in
from plugins import medusa_bridge


class NotMigrated(OperatorError):
    """Schema ``grace`` is missing, or that of a version before."""


async def check_shop(dsn: str) -> None:
    """Raises ``NoShop`` where Medusa's tables are not there (yet), or may not be read by this role."""
    async with _connected(dsn) as conn:
        await medusa_bridge.check_shop(conn)


async def grant_role(dsn: str, role: str, *, password: str | None, revoke: bool = False) -> list[str]:
    """Make ``role`` one that the processes can run as, see ``app.store.grants.grant``. What was done, a line each.

    ``revoke`` takes away what only processes of versions before need.
    """
    async with _connected(dsn) as conn:
        left = () if revoke else await medusa_bridge.earlier_rights(conn)
        return await grants.grant(conn, role, await _needed(conn), password=password, left=left)


async def print_grants(dsn: str, role: str, password: str | None = None) -> list[str]:
    """Return the same as statements for a person to run; nothing is done. Raises ``NotMigrated`` where schema ``grace``
    is not that of this version: its tables are among what is granted."""
    async with _connected(dsn) as conn:
        needed = await medusa_bridge.needed_rights(conn)
        if missing := await pending_in(conn):
            lacks = f"schema grace lacks {', '.join(missing)}, and its tables are granted too"
            raise NotMigrated(f"{lacks}: run medusa-grace migrate first")
        return grants.as_sql(role, [*needed, *await grants.own_rights(conn)], password)


async def _needed(conn: Connection) -> list[Right]:
    return [*await medusa_bridge.needed_rights(conn), *await grants.own_rights(conn)]


@asynccontextmanager
async def _connected(dsn: str) -> AsyncIterator[Connection]:
    conn = await asyncpg.connect(dsn, timeout=10)
    try:
        await session.state(conn, timeouts=False)
        yield conn
    finally:
        await conn.close()
