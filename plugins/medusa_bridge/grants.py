"""What the processes may do to Medusa's tables: read these, and write these columns. The one list of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import asyncpg

from app.ports import Connection
from app.store import session
from app.store.grants import Right, as_sql, grant, own_rights, rights

READ: Final = (
    "api_key",
    "capture",
    "cart_payment_collection",
    "fulfillment",
    "inventory_level",
    "order",
    "order_cart",
    "order_change",
    "order_change_action",
    "order_fulfillment",
    "order_item",
    "order_line_item",
    "order_line_item_tax_line",
    "order_payment_collection",
    "order_summary",
    "order_transaction",
    "payment",
    "payment_collection",
    "payment_session",
    "refund",
    "reservation_item",
)

INSERT: Final[Mapping[str, tuple[str, ...]]] = {
    "capture": ("id", "amount", "raw_amount", "payment_id", "created_at", "updated_at"),
    "order_transaction": (
        "id",
        "order_id",
        "version",
        "amount",
        "raw_amount",
        "currency_code",
        "reference",
        "reference_id",
        "created_at",
        "updated_at",
    ),
    "refund": ("id", "amount", "raw_amount", "payment_id", "note", "created_at", "updated_at"),
}

UPDATE: Final[Mapping[str, tuple[str, ...]]] = {
    "inventory_level": ("reserved_quantity", "raw_reserved_quantity", "updated_at"),
    "order": ("status", "canceled_at", "updated_at"),
    "order_change": ("status", "declined_at", "updated_at"),
    "order_summary": ("totals", "updated_at"),
    "payment": ("canceled_at", "captured_at", "data", "updated_at"),
    "payment_collection": (
        "status",
        "amount",
        "raw_amount",
        "captured_amount",
        "raw_captured_amount",
        "refunded_amount",
        "raw_refunded_amount",
        "completed_at",
        "updated_at",
    ),
    "payment_session": ("data", "metadata", "status", "updated_at"),
    "reservation_item": ("deleted_at", "updated_at"),
}
"""To lock a row, too, asks for the right to write one of its columns."""


def medusa_rights(schema: str) -> list[Right]:
    """The list, for a Medusa whose tables are in ``schema``."""
    needed = [Right(schema, "", "usage")]
    for table in READ:
        needed += rights(schema, table, "select")
    for privilege, columns in (("insert", INSERT), ("update", UPDATE)):
        for table, names in columns.items():
            needed += rights(schema, table, privilege, names)
    return needed


def as_arguments() -> tuple[list[str], list[str], list[str]]:
    """The list as three arrays of equal length: table, privilege, column (empty for the whole table)."""
    needed = [right for right in medusa_rights("") if right.table]
    return [r.table for r in needed], [r.privilege for r in needed], [r.column for r in needed]


class NoShop(Exception):
    """The database has no tables of Medusa's."""


async def check_shop(dsn: str) -> None:
    """Raises ``NoShop`` where Medusa's tables are not there (yet), before anything else is put beside them."""
    conn = await asyncpg.connect(dsn, timeout=10)
    try:
        await session.state(conn, timeouts=False)
        await _schema(conn)
    finally:
        await conn.close()


async def grant_role(dsn: str, role: str, *, password: str | None) -> list[str]:
    """Make ``role`` one that the processes can run as, see ``app.store.grants.grant``. What was done, a line each."""
    conn = await asyncpg.connect(dsn, timeout=10)
    try:
        await session.state(conn, timeouts=False)
        return await grant(conn, role, await _needed(conn), password=password)
    finally:
        await conn.close()


async def print_grants(dsn: str, role: str) -> list[str]:
    """The same as statements for a person to run, and nothing done."""
    conn = await asyncpg.connect(dsn, timeout=10)
    try:
        await session.state(conn, timeouts=False)
        return as_sql(role, await _needed(conn))
    finally:
        await conn.close()


async def _needed(conn: Connection) -> list[Right]:
    return [*medusa_rights(await _schema(conn)), *await own_rights(conn)]


async def _schema(conn: Connection) -> str:
    schema: str | None = await conn.fetchval(
        "select n.nspname from pg_class as c join pg_namespace as n on n.oid = c.relnamespace "
        "where c.oid = to_regclass('\"order\"')"
    )
    if schema is None:
        message = (
            f'database {await conn.fetchval("select current_database()")} has no table "order": it must be Medusa\'s '
            "database, and Medusa's own migrations (medusa db:migrate) come first"
        )
        raise NoShop(message)
    return schema
