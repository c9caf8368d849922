"""The rows that say what became of an order's money, made comparable from order to order."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any

import asyncpg

from app.embedded.shop import PlacedOrder

_OF_PAYMENTS = "payment_id = any($2::text[])"
_TABLES = {
    "order": "id = $1",
    "order_summary": "order_id = $1",
    "order_transaction": "order_id = $1",
    "payment_collection": "id in (select payment_collection_id from payment where id = any($2::text[]))",
    "payment": "id = any($2::text[])",
    "payment_session": "id in (select payment_session_id from payment where id = any($2::text[]))",
    "capture": _OF_PAYMENTS,
    "refund": _OF_PAYMENTS,
}
_ID = re.compile(r"^([a-z_]+)_[0-9A-HJKMNP-TV-Z]{26}$")
_NOT_COMPARED = {"display_id", "email", "created_by", "note"}
"""What differs by nature: names of shoppers, and that no admin stands behind a job."""


async def money_rows(conn: asyncpg.Connection, order: PlacedOrder) -> dict[str, list[dict[str, Any]]]:
    """Every column of every row about the order's money: ids by their prefix alone, moments as set or not."""
    rows = {}
    for table, condition in _TABLES.items():
        found = await conn.fetch(
            f'select to_jsonb(t)::text from "{table}" as t where {condition} and '
            "($1::text is not null and $2::text[] is not null) order by created_at, id",
            order.id,
            list(order.payment_ids),
        )
        parsed = [_comparable(json.loads(row[0], parse_float=Decimal)) for row in found]
        rows[table] = sorted(parsed, key=lambda row: json.dumps(row, default=str, sort_keys=True))
    return rows


def _comparable(row: dict[str, Any]) -> dict[str, Any]:
    return {name: _value(name, value) for name, value in row.items() if name not in _NOT_COMPARED}


def _value(name: str, value: Any) -> Any:
    if name.endswith("_at"):
        return value is not None
    if name == "data" and isinstance(value, dict) and "id" in value:
        return {key: value.get(key) for key in ("object", "status", "amount", "amount_received", "amount_capturable")}
    if isinstance(value, str) and (match := _ID.match(value)):
        return match[1]
    return value


async def twins_agree(conn: asyncpg.Connection, order: PlacedOrder) -> None:
    """Every number of the order's money equals its raw form."""
    for table, rows in (await money_rows(conn, order)).items():
        for row in rows:
            numbers = row.get("totals", row)
            for name, raw in numbers.items():
                if name.startswith("raw_") and raw is not None:
                    number = numbers[name.removeprefix("raw_")]
                    assert Decimal(raw["value"]) == Decimal(str(number)), f"{table}.{name}: {raw} is not {number}"
