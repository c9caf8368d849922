"""Read what is open in schema ``grace``, and remove the schema."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from app.operator_error import OperatorError
from app.ports import Connection
from app.store.migrate import LOCK
from app.store.sql import statement

_CAPTURES: Final = statement("find_open_captures")
_WORK: Final = statement("find_open_work")
_TABLES: Final = statement("own_tables")
_VIEWS: Final = statement("find_views_on_grace")


class UninstallError(OperatorError):
    """Why nothing was removed."""


class OpenCapture(msgspec.Struct, frozen=True, kw_only=True):
    """A capture that is not done."""

    order_id: str
    payment_id: str
    due_at: datetime
    last_error: str | None


class OpenWork(msgspec.Struct, frozen=True, kw_only=True):
    """A job or incident that keeps the schema from being removed."""

    order_id: str
    detail: str
    ends_soon: bool = False
    """A worker that runs ends it within seconds."""


async def is_installed(conn: Connection) -> bool:
    """Return whether schema ``grace`` is there. Raises ``UninstallError`` where it is not this program's."""
    if await conn.fetchval("select to_regnamespace('grace')") is None:
        return False
    if await conn.fetchval("select to_regclass('grace.jobs') is null or to_regclass('grace.incidents') is null"):
        raise UninstallError("schema grace has no tables jobs and incidents: it is not medusa-grace's, or not complete")
    return True


async def open_captures(conn: Connection) -> Sequence[OpenCapture]:
    """Return the captures that are not done, the next one first."""
    return [
        OpenCapture(
            order_id=row["order_id"],
            payment_id=row["payment_id"],
            due_at=row["run_at"],
            last_error=row["last_error"],
        )
        for row in await conn.fetch(_CAPTURES)
    ]


async def open_work(conn: Connection) -> Sequence[OpenWork]:
    """Return the jobs and incidents that must be over first, by order."""
    return [OpenWork(**row) for row in await conn.fetch(_WORK)]


async def lock(conn: Connection) -> None:
    """Lock every table until the transaction ends: no job is claimed, no order canceled and nothing migrated."""
    if not await conn.fetchval("select pg_try_advisory_xact_lock($1)", LOCK):
        raise UninstallError("a migration runs: wait for its end")
    names = ", ".join(f"grace.{row['name']}" for row in await conn.fetch(_TABLES))
    await conn.execute(f"lock table {names} in access exclusive mode")


async def drop_schema(conn: Connection) -> None:
    """Drop schema ``grace``. Needs a transaction. Raises ``UninstallError`` where a view elsewhere reads it."""
    if views := [row["name"] for row in await conn.fetch(_VIEWS)]:
        raise UninstallError(f"{', '.join(views)} reads schema grace: drop the view first")
    await conn.execute("set local client_min_messages = warning")
    await conn.execute("drop schema grace cascade")
