"""What the processes may do to Medusa's tables: read these, and write these columns. The one list of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from app.domain.rights import Right, rights
from app.ports import Connection
from plugins.medusa_bridge.releases import NoShop, require_shop
from plugins.medusa_bridge.sqlfile import statement

_COLUMNS: Final = statement("medusa_columns")
_NOT_READABLE: Final = statement("columns_not_readable")
_SCHEMA: Final = (
    "select n.nspname from pg_class as c join pg_namespace as n on n.oid = c.relnamespace "
    "where c.oid = to_regclass('\"order\"')"
)

READ: Final[Mapping[str, tuple[str, ...]]] = {
    "capture": ("id", "amount", "raw_amount", "payment_id", "created_at", "updated_at", "deleted_at"),
    "cart_payment_collection": ("cart_id", "payment_collection_id", "deleted_at"),
    "fulfillment": ("id", "canceled_at", "updated_at", "deleted_at"),
    "inventory_level": (
        "id",
        "deleted_at",
        "inventory_item_id",
        "location_id",
        "reserved_quantity",
        "raw_reserved_quantity",
    ),
    "order": (
        "id",
        "display_id",
        "customer_id",
        "version",
        "status",
        "is_draft_order",
        "currency_code",
        "created_at",
        "updated_at",
        "deleted_at",
        "canceled_at",
        "custom_display_id",
    ),
    "order_cart": ("order_id", "cart_id", "deleted_at"),
    "order_change": ("id", "order_id", "status", "confirmed_at", "updated_at", "deleted_at", "change_type"),
    "order_change_action": ("id", "order_change_id", "deleted_at"),
    "order_fulfillment": ("order_id", "fulfillment_id", "deleted_at"),
    "order_item": ("id", "order_id", "version", "item_id", "quantity", "deleted_at"),
    "order_line_item": ("id", "title", "subtitle", "deleted_at"),
    "order_line_item_tax_line": ("item_id", "created_at", "deleted_at"),
    "order_payment_collection": ("order_id", "payment_collection_id", "deleted_at"),
    "order_summary": ("id", "order_id", "version", "totals", "created_at", "updated_at", "deleted_at"),
    "order_transaction": (
        "id",
        "order_id",
        "amount",
        "raw_amount",
        "reference",
        "reference_id",
        "updated_at",
        "deleted_at",
    ),
    "payment": (
        "id",
        "amount",
        "raw_amount",
        "currency_code",
        "provider_id",
        "created_at",
        "updated_at",
        "deleted_at",
        "captured_at",
        "canceled_at",
        "payment_collection_id",
        "payment_session_id",
    ),
    "payment_collection": (
        "id",
        "amount",
        "raw_amount",
        "captured_amount",
        "raw_captured_amount",
        "refunded_amount",
        "raw_refunded_amount",
        "updated_at",
        "deleted_at",
        "completed_at",
        "status",
    ),
    "payment_session": (
        "id",
        "currency_code",
        "amount",
        "provider_id",
        "status",
        "payment_collection_id",
        "created_at",
        "updated_at",
        "deleted_at",
    ),
    "refund": ("id", "amount", "raw_amount", "payment_id", "created_at", "updated_at", "deleted_at"),
    "reservation_item": (
        "id",
        "created_at",
        "deleted_at",
        "line_item_id",
        "location_id",
        "quantity",
        "raw_quantity",
        "inventory_item_id",
    ),
}
"""Columns, so that no secret (the salt of an API key), address or note of a person is read beside what is needed. A
column with secrets in it is read by definers alone, see ``OF_DEFINERS``."""

OF_DEFINERS: Final[Mapping[str, tuple[str, ...]]] = {
    "api_key": ("token", "type", "revoked_at"),
    "order": ("id", "email"),
    "order_change_action": ("id", "details"),
    "order_payment_collection": ("order_id", "payment_collection_id", "deleted_at"),
    "payment": ("id", "data"),
    "payment_session": ("id", "data", "metadata", "deleted_at"),
}
"""What definers (migration 0009) read with the rights of the role that migrates; they write
``payment_session.metadata`` too."""

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
    "payment_session": ("data", "status", "updated_at"),
    "reservation_item": ("deleted_at", "updated_at"),
}
"""To lock a row, too, asks for the right to write one of its columns."""


def medusa_rights(schema: str) -> list[Right]:
    """The list, for a Medusa whose tables are in ``schema``."""
    needed = [Right(schema, "", "usage")]
    for privilege, columns in (("select", READ), ("insert", INSERT), ("update", UPDATE)):
        for table, names in columns.items():
            needed += rights(schema, table, privilege, names)
    return needed


def as_arguments() -> tuple[list[str], list[str], list[str]]:
    """The list as three arrays of equal length: table, privilege, column (empty for the whole table)."""
    needed = [right for right in medusa_rights("") if right.table]
    return [r.table for r in needed], [r.privilege for r in needed], [r.column for r in needed]


async def check_shop(conn: Connection) -> None:
    """Raises ``NoShop`` where Medusa's tables are not there (yet), before anything else is put beside them, or where
    definers, which run as this role, could not read what they hand out."""
    await require_shop(conn)
    pairs = [(table, column) for table, columns in OF_DEFINERS.items() for column in columns]
    denied = [row["name"] for row in await conn.fetch(_NOT_READABLE, *map(list, zip(*pairs, strict=True)))]
    if denied:
        message = (
            f"{await conn.fetchval('select current_user')} may not read {', '.join(denied)}: "
            "migrate as the owner of Medusa's tables"
        )
        raise NoShop(message)


async def schema_of_shop(conn: Connection) -> str | None:
    """Return the schema of Medusa's tables; ``None`` where they are not there."""
    schema: str | None = await conn.fetchval(_SCHEMA)
    return schema


async def needed_rights(conn: Connection) -> list[Right]:
    """Return the list without the columns that this Medusa's tables lack: each statement that needs one is named at
    the start. Raises ``NoShop``."""
    there = {(row["table"], row["column"]) for row in await conn.fetch(_COLUMNS, sorted(READ))}
    known = {table for table, _ in there}
    return [
        right
        for right in medusa_rights(await _schema(conn))
        if not right.column or right.table not in known or (right.table, right.column) in there
    ]


async def earlier_rights(conn: Connection) -> list[Right]:
    """Return what versions before were granted and still need, and this one does not: to read whole tables. Raises
    ``NoShop``."""
    schema = await _schema(conn)
    return [right for table in sorted({*READ, *OF_DEFINERS}) for right in rights(schema, table, "select")]


async def _schema(conn: Connection) -> str:
    await require_shop(conn)
    schema = await schema_of_shop(conn)
    assert schema is not None
    return schema
