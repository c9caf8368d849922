"""Rows as Medusa writes them: ids that sort by time, numbers in two forms, totals, and the next version of an order."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Context, Decimal
from typing import TYPE_CHECKING, Any

from ulid import PureRandomPolicy, ULIDGenerator

if TYPE_CHECKING:
    import asyncpg
    from asyncpg.pool import PoolConnectionProxy

    Connection = asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]

Row = dict[str, Any]

# Medusa's ids of one millisecond are in no order; the generator's own way would number them through.
_ULIDS = ULIDGenerator(policy=PureRandomPolicy())
_TWENTY_DIGITS = Context(prec=20)
_DIGITS = {"jpy": 0, "krw": 0, "vnd": 0, "bhd": 3, "jod": 3, "kwd": 3, "omr": 3, "tnd": 3}


def now_ms() -> datetime:
    """The present, in the milliseconds that Medusa writes."""
    return in_ms(datetime.now(UTC))


def in_ms(moment: datetime) -> datetime:
    """``moment`` cut to milliseconds."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def new_id(prefix: str, moment: datetime) -> str:
    """Medusa's ids: a prefix and a ULID of the time."""
    return f"{prefix}_{_ULIDS.generate(round(moment.timestamp() * 1000))}"


def raw(value: Decimal) -> Row:
    """The second form of a number: twenty digits as text, without trailing zeros."""
    return {"value": f"{_TWENTY_DIGITS.create_decimal(value).normalize(_TWENTY_DIGITS):f}", "precision": 20}


def twins(**numbers: Decimal) -> Row:
    """Each number and its raw form, as two columns."""
    return {**numbers, **{f"raw_{name}": raw(value) for name, value in numbers.items()}}


def reaches(amount: Decimal, goal: Decimal, currency: str) -> bool:
    """Whether ``amount`` is ``goal`` or more once both are rounded to the currency's digits."""
    digits = _DIGITS.get(currency, 2)
    return round(amount, digits) >= round(goal, digits)


async def insert(conn: Connection, table: str, *rows: Mapping[str, Any]) -> None:
    """Insert rows with the same columns; Decimals, times and JSON are turned into what the columns are."""
    if not rows:
        return
    columns = ", ".join(f'"{name}"' for name in rows[0])
    await conn.execute(
        f'INSERT INTO "{table}" ({columns}) '  # noqa: S608 - names of ours
        f'SELECT {columns} FROM jsonb_populate_recordset(NULL::"{table}", $1::text::jsonb)',
        json.dumps(rows, default=_text),
    )


async def rows_of(conn: Connection, table: str, order_id: str, *, version: int) -> list[Row]:
    """An order's rows of one version, ready to be inserted again."""
    found = await conn.fetch(
        f'SELECT to_jsonb(t)::text FROM "{table}" t WHERE order_id = $1 AND version = $2 AND deleted_at IS NULL '  # noqa: S608
        "ORDER BY id",
        order_id,
        version,
    )
    return [json.loads(row[0], parse_float=Decimal) for row in found]


def _text(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Decimal):
        return f"{value:f}"
    raise TypeError(f"no column takes {value!r}")


def totals(
    *, original: Decimal, current: Decimal, credit: Decimal, paid: Decimal, refunded: Decimal
) -> dict[str, int | float | Row]:
    """``order_summary.totals``: every sum as a JSON number, as JavaScript has it, and in its raw form."""
    net = paid - refunded
    sums = {
        "original_order_total": original,
        "current_order_total": current,
        "accounting_total": current,
        "credit_line_total": credit,
        "paid_total": paid,
        "refunded_total": refunded,
        "transaction_total": net,
        "pending_difference": current - net,
    }
    numbers = {name: int(value) if value == int(value) else float(value) for name, value in sums.items()}
    return {**numbers, **{f"raw_{name}": raw(value) for name, value in sums.items()}}


async def add_transaction(
    conn: Connection, order_id: str, amount: Decimal, reference: str, reference_id: str, moment: datetime
) -> None:
    """Money that moved: the transaction, and the totals of the order's present version anew."""
    order = await conn.fetchrow('SELECT version, currency_code FROM "order" WHERE id = $1', order_id)
    if order is None:
        raise LookupError(order_id)
    await insert(
        conn,
        "order_transaction",
        {
            "id": new_id("ordtrx", moment),
            "order_id": order_id,
            "version": order["version"],
            **twins(amount=amount),
            "currency_code": order["currency_code"],
            "reference": reference,
            "reference_id": reference_id,
            "created_at": moment,
            "updated_at": moment,
        },
    )
    for summary in await rows_of(conn, "order_summary", order_id, version=order["version"]):
        had = summary["totals"]
        sums = totals(
            original=Decimal(had["raw_original_order_total"]["value"]),
            current=Decimal(had["raw_current_order_total"]["value"]),
            credit=Decimal(had["raw_credit_line_total"]["value"]),
            **await _moved(conn, order_id),
        )
        await conn.execute(
            "UPDATE order_summary SET totals = $2::text::jsonb, updated_at = $3 WHERE id = $1",
            summary["id"],
            json.dumps(sums),
            moment,
        )


async def next_version(
    conn: Connection,
    order_id: str,
    moment: datetime,
    *,
    credit: Decimal = Decimal(0),
    collection_id: str | None = None,
    fulfilled: bool | None = None,
) -> int:
    """Raise the order's version as Medusa does for each confirmed change: copies of the items, methods and totals."""
    version: int = await conn.fetchval('SELECT version FROM "order" WHERE id = $1', order_id)
    stamps = {"created_at": moment, "updated_at": moment}
    items = await rows_of(conn, "order_item", order_id, version=version)
    for item in items:
        item |= {"id": new_id("orditem", moment), "version": version + 1, **stamps}
        price = await conn.fetchval("SELECT unit_price FROM order_line_item WHERE id = $1", item["item_id"])
        item |= twins(unit_price=price)
        if fulfilled is not None:
            item |= twins(fulfilled_quantity=Decimal(item["quantity"] if fulfilled else 0))
    await insert(conn, "order_item", *items)
    for shipping in await rows_of(conn, "order_shipping", order_id, version=version):
        await insert(conn, "order_shipping", {**shipping, "id": new_id("ordspmv", moment), "version": version + 1})
    for line in await rows_of(conn, "order_credit_line", order_id, version=version):
        copy = {**line, "id": new_id("ordcl", moment), "version": version + 1, **stamps}
        await insert(conn, "order_credit_line", copy)
    if collection_id is not None:
        line = {
            "id": new_id("ordcl", moment),
            "order_id": order_id,
            "reference": "payment_collection",
            "reference_id": collection_id,
            **twins(amount=credit),
            "metadata": {"created_in_version": version + 1},
            "version": version + 1,
            **stamps,
        }
        await insert(conn, "order_credit_line", line)
    for summary in await rows_of(conn, "order_summary", order_id, version=version):
        current = Decimal(summary["totals"]["raw_current_order_total"]["value"])
        sums = totals(original=current, current=current - credit, credit=credit, **await _moved(conn, order_id))
        row = {**summary, "id": new_id("ordsum", moment), "version": version + 1, "totals": sums, **stamps}
        await insert(conn, "order_summary", row)
    await conn.execute('UPDATE "order" SET version = $2, updated_at = $3 WHERE id = $1', order_id, version + 1, moment)
    return version + 1


async def _moved(conn: Connection, order_id: str) -> dict[str, Decimal]:
    row = await conn.fetchrow(
        "SELECT coalesce(sum(amount) FILTER (WHERE amount > 0), 0) AS paid, "
        "coalesce(-sum(amount) FILTER (WHERE amount < 0), 0) AS refunded "
        "FROM order_transaction WHERE order_id = $1 AND deleted_at IS NULL",
        order_id,
    )
    return dict(row) if row is not None else {}


async def add_change(
    conn: Connection,
    order_id: str,
    moment: datetime,
    *,
    version: int,
    status: str,
    change_type: str | None,
    actions: Iterable[Mapping[str, Any]] = (),
) -> str:
    """An order change with its actions, which count as applied once it is confirmed."""
    change_id = new_id("ordch", moment)
    stamps = {"order_id": order_id, "version": version, "created_at": moment, "updated_at": moment}
    await insert(
        conn,
        "order_change",
        {
            "id": change_id,
            **stamps,
            "change_type": change_type,
            "status": status,
            "confirmed_at": moment if status == "confirmed" else None,
            "requested_at": moment if status == "requested" else None,
        },
    )
    for action in actions:
        await insert(
            conn,
            "order_change_action",
            {
                "id": new_id("ordchact", moment),
                **stamps,
                "order_change_id": change_id,
                "applied": status == "confirmed",
                "details": {},
                **action,
            },
        )
    return change_id


async def move_stock(
    conn: Connection, item_id: str, location_id: str, *, reserved: Decimal, stocked: Decimal = Decimal(0)
) -> str:
    """Add to an inventory level, in both forms, and give its id."""
    level_id: str | None = await conn.fetchval(
        "UPDATE inventory_level SET reserved_quantity = reserved_quantity + $3, "
        "raw_reserved_quantity = jsonb_build_object("
        "    'value', trim_scale(reserved_quantity + $3)::text, 'precision', 20), "
        "stocked_quantity = stocked_quantity + $4, "
        "raw_stocked_quantity = jsonb_build_object("
        "    'value', trim_scale(stocked_quantity + $4)::text, 'precision', 20), "
        "updated_at = $5 "
        "WHERE inventory_item_id = $1 AND location_id = $2 AND deleted_at IS NULL RETURNING id",
        item_id,
        location_id,
        reserved,
        stocked,
        now_ms(),
    )
    if level_id is None:
        raise LookupError(f"{item_id} at {location_id}")
    return level_id
