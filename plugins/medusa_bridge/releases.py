"""Which release of Medusa made these tables: it writes that nowhere, but its migrations leave their marks."""

from __future__ import annotations

from typing import Final

import msgspec

from app.operator_error import OperatorError
from app.ports import Connection
from plugins.medusa_bridge.sqlfile import statement

OLDEST: Final = "2.14"
"""The oldest that is supported. Until 2.13.1 Medusa took a canceled order's total off its summary; we do not."""

NEWEST: Final = "2.21.2"
"""The newest one that was tested."""

_COLUMNS: Final = statement("medusa_columns")
_OF_THE_FIRST_KIND: Final = ("order", "fulfillment_status")

# The first release of a range, the last one, and a column that came with the first and stayed.
_MARKS: Final = (
    ("2.20", "2.21", "inventory_item", "unit_of_measure"),
    ("2.19", "2.19", "order_change", "no_notification"),
    ("2.18", "2.18", "order_line_item_tax_line", "metadata"),
    ("2.14", "2.17", "order_shipping_method_adjustment", "version"),
    ("2.12", "2.13", "order", "custom_display_id"),
    ("2.11", "2.11", "order_credit_line", "version"),
    ("2.8.8", "2.10", "order_line_item_adjustment", "is_tax_inclusive"),
    ("2.7", "2.8.7", "order_line_item", "is_giftcard"),
    ("2.4", "2.6", "order_address", "deleted_at"),
    ("2.1.3", "2.3", "order_credit_line", "id"),
    ("2.0.2", "2.1.2", "order_line_item", "product_type_id"),
    ("2.0.0", "2.0.1", "order", "id"),
)
# Where the newest release that was tested keeps orders, money and stock. A column beyond these is a newer release's.
_KNOWN: Final = {
    "order": "id region_id display_id customer_id version sales_channel_id status is_draft_order email currency_code "
    "shipping_address_id billing_address_id no_notification metadata created_at updated_at deleted_at canceled_at "
    "custom_display_id locale",
    "order_summary": "id order_id version totals created_at updated_at deleted_at",
    "order_transaction": "id order_id version amount raw_amount currency_code reference reference_id created_at "
    "updated_at deleted_at return_id claim_id exchange_id",
    "payment_collection": "id currency_code amount raw_amount authorized_amount raw_authorized_amount captured_amount "
    "raw_captured_amount refunded_amount raw_refunded_amount created_at updated_at deleted_at completed_at status "
    "metadata",
    "payment": "id amount raw_amount currency_code provider_id data created_at updated_at deleted_at captured_at "
    "canceled_at payment_collection_id payment_session_id metadata",
    "capture": "id amount raw_amount payment_id created_at updated_at deleted_at created_by metadata",
    "refund": "id amount raw_amount payment_id created_at updated_at deleted_at created_by metadata refund_reason_id "
    "note",
    "inventory_level": "id created_at updated_at deleted_at inventory_item_id location_id stocked_quantity "
    "raw_stocked_quantity reserved_quantity raw_reserved_quantity incoming_quantity raw_incoming_quantity metadata",
}
_TABLES: Final = sorted({table for *_, table, _ in _MARKS} | _KNOWN.keys())


class Release(msgspec.Struct, frozen=True, kw_only=True):
    """What the tables say of the Medusa that made them."""

    name: str
    """Its range, as in ``2.12 to 2.13``; ``1.x``, or ``none`` where there are no tables of Medusa's."""

    unsupported: str | None = None
    """Why it is none of those that are supported, or ``None``."""


async def find_release(conn: Connection) -> Release:
    """The Medusa whose tables these are."""
    there = {(row["table"], row["column"]) for row in await conn.fetch(_COLUMNS, _TABLES)}
    if _OF_THE_FIRST_KIND in there:
        return Release(name="1.x")
    for first, last, *mark in _MARKS:
        if tuple(mark) in there:
            return Release(name=_range(first, last), unsupported=_unsupported(first, there))
    return Release(name="none")


class NoShop(OperatorError):
    """The database has no tables of Medusa's, or the role that migrates may not read them."""


async def require_shop(conn: Connection) -> None:
    """Raise ``NoShop`` where Medusa's tables are not there (yet), or not among the schemas that are searched."""
    if await conn.fetchval("select to_regclass('\"order\"')") is not None:
        return
    row = await conn.fetchrow("select current_database() as name, current_setting('search_path') as searched")
    assert row is not None
    message = (
        f'database {row["name"]} has no table "order" (search_path: {row["searched"]}): it must be Medusa\'s '
        "database, and Medusa's own migrations (medusa db:migrate) come first"
    )
    raise NoShop(message)


def _range(first: str, last: str) -> str:
    return first if first == last else f"{first} to {last}"


def _unsupported(first: str, there: set[tuple[str, str]]) -> str | None:
    if _number(first) < _number(OLDEST):
        return f"older than {OLDEST}, the oldest release that is supported"
    known = {(table, column) for table, columns in _KNOWN.items() for column in columns.split()}
    beyond = sorted(f"{table}.{column}" for table, column in there - known if table in _KNOWN)
    if beyond:
        return f"newer than {NEWEST}, the newest release that was tested, which does not have {', '.join(beyond)}"
    return None


def _number(release: str) -> tuple[int, ...]:
    return tuple(map(int, release.split(".")))
