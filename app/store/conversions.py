"""``grace.conversions``: when drafts became orders."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from app.ports import Connection
from app.store.sql import statement

_RECORD: Final = statement("record_conversions")


async def record(conn: Connection, converted_at: Mapping[str, datetime]) -> None:
    """Record the conversions of orders, by order id. What is recorded of an order stays."""
    await conn.execute(_RECORD, list(converted_at), list(converted_at.values()))
