"""``grace.installation``: the one row that tells this shop's keys and messages from those of others."""

from __future__ import annotations

from typing import Final

from app.ports import Connection
from app.store.sql import statement

_READ: Final = statement("read_installation")


class NoInstallation(Exception):
    """The row that the migration made is gone."""


async def read(conn: Connection) -> str:
    """Return the installation's id. Raises ``NoInstallation``."""
    id_: str | None = await conn.fetchval(_READ)
    if id_ is None:
        message = "grace.installation has no row: run medusa-grace migrate --new-installation"
        raise NoInstallation(message)
    return id_
