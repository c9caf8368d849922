"""``grace.operator_sessions``: who is signed in to the operator's page."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import msgspec

from app.ports import Connection
from app.store.sql import statement

_INSERT: Final = statement("insert_operator_session")
_READ: Final = statement("read_operator_session")
_TOUCH: Final = statement("touch_operator_session")
_CLAIM_CHECK: Final = statement("claim_operator_check")
_END: Final = statement("end_operator_session")
_IS_KNOWN_ORIGIN: Final = statement("is_known_operator_origin")
_REMOVE: Final = statement("remove_operator_sessions")


class SessionRow(msgspec.Struct, frozen=True, kw_only=True):
    """A session as the database sees it now."""

    credential: bytes | None
    """Medusa's own credential of the admin, encrypted; ``None`` once the session has ended."""
    over: str | None
    """Why the session is over; ``None`` while it is live."""
    ended: bool
    """Whether the row says so already."""
    touch_due: bool
    check_due: bool


async def insert(conn: Connection, id_hash: bytes, admin_id: str, credential: bytes, origin: bytes) -> None:
    """Begin a session. ``origin`` is a keyed hash of account and address."""
    await conn.execute(_INSERT, id_hash, admin_id, credential, origin)


async def is_known_origin(conn: Connection, origin: bytes) -> bool:
    """Whether a session that is remembered began there."""
    return bool(await conn.fetchval(_IS_KNOWN_ORIGIN, origin))


async def read(
    conn: Connection, id_hash: bytes, *, idle: timedelta, lasts: timedelta, check_every: timedelta
) -> SessionRow | None:
    """The session's row, by the database's clock; no lock."""
    row = await conn.fetchrow(_READ, id_hash, idle, lasts, check_every)
    return None if row is None else SessionRow(**row)


async def touch(conn: Connection, id_hash: bytes) -> None:
    """Record that the operator was active now."""
    await conn.execute(_TOUCH, id_hash)


async def claim_check(conn: Connection, id_hash: bytes, *, check_every: timedelta) -> bool:
    """Whether this request is the one that asks the shop about the admin; at most one in ``check_every`` is."""
    return bool(await conn.fetchval(_CLAIM_CHECK, id_hash, check_every))


async def end(conn: Connection, id_hash: bytes, reason: str) -> bool:
    """End the session and forget its credential. ``False`` when it had ended before."""
    return bool(await conn.fetchval(_END, id_hash, reason))


async def remove_old(conn: Connection, *, kept: timedelta) -> None:
    """Delete rows of sessions that began longer than ``kept`` ago, a thousand at most."""
    await conn.execute(_REMOVE, kept)
