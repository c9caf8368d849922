"""Thousands of orders at once: copies of a few that ``place_order`` or a real Medusa made, row for row."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import asyncpg
from ulid import ULID

from app.embedded.stripe_sandbox.client import Sandbox

Connection = asyncpg.Connection

SHARED: Final = frozenset(
    ("apk", "cus", "iitem", "ilev", "pksc", "prod", "reg", "sc", "sloc", "sp", "so", "variant", "pcat", "user", "store")
)
"""Prefixes of what orders have in common; rows that bear another one's id belong to the order."""

_ID: Final = re.compile(r"\b([a-z]+(?:_[a-z]+)*)_([0-9A-Z]{26})\b")
_TEXTS: Final = frozenset(("text", "character varying", "character varying(255)"))
_TABLES: Final = """
select c.relname as name, array_agg(quote_ident(a.attname) order by a.attnum) as columns,
    array_agg(format_type(a.atttypid, a.atttypmod) order by a.attnum) as types
from pg_class as c
join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
where c.relnamespace = 'public'::regnamespace and c.relkind = 'r' and c.relname <> 'workflow_execution'
group by 1
"""
_INTENT: Final = re.compile(r"\bpi_[0-9A-Za-z_]+")


@dataclass(frozen=True)
class Batch:
    """Orders that were placed in one millisecond: all ids are the moment and the order's number."""

    stamp: str
    first: int
    count: int

    def order_id(self, number: int) -> str:
        """The id of the order with this number."""
        return self.id("order", number)

    def id(self, prefix: str, number: int, ordinal: int = 0) -> str:
        """The id of the order's only row (or of its second, third ...) with this prefix."""
        return f"{prefix}_{self.stamp}{number:014d}{ordinal:02d}"

    @property
    def numbers(self) -> range:
        """Of all orders."""
        return range(self.first, self.first + self.count)


@dataclass(frozen=True)
class _Row:
    table: str
    columns: dict[str, tuple[str | None, str]]
    """Text and type by name."""


_SEEN: Final[dict[str, list[_Row]]] = {}
"""Rows of templates by order: looked for while the tables are small."""


async def copy_orders(
    conn: Connection,
    templates: Sequence[str],
    *,
    first: int,
    count: int,
    placed_at: datetime,
    intents: Sequence[str] | None = None,
    spread: str | None = None,
) -> Batch:
    """``count`` copies of the template orders in turn, with ids and dates of their own.

    ``intents`` are the Stripe intents of their payments. With ``spread`` (an interval) the orders are placed
    one after the other over that time before ``placed_at``, and each id has its own moment.
    """
    stamp = str(ULID.from_datetime(placed_at))[:10]
    await conn.execute(
        "drop table if exists fresh; create temp table fresh (n bigint, t text, placed timestamptz, pi text)"
    )
    when = "$3::timestamptz" if spread is None else f"$3::timestamptz - interval '{spread}' * (($2 - n)::float8 / $2)"
    moment = "$4" if spread is None else _crockford("(extract(epoch from w.placed) * 1000)::bigint")
    await conn.execute(
        f"insert into fresh select w.n, {moment}, date_trunc('milliseconds', w.placed), 'pi_none' || w.n "
        f"from (select n + $1 as n, {when} as placed from generate_series(0, $2 - 1) as n) as w where $4::text <> ''",
        first,
        count,
        placed_at,
        stamp,
    )
    if intents is not None:
        await conn.execute(
            "update fresh set pi = i.id from unnest($1::text[]) with ordinality as i (id, k) where n = $2 + k - 1",
            list(intents),
            first,
        )
    await conn.execute("analyze fresh; set session_replication_role = replica")  # rows come in no order of parents
    for number, order_id in enumerate(templates):
        rows = await _rows_of(conn, order_id)
        renamed = _renamed(rows, min((m[2] for m in _ids_of(rows, "cart")), default=order_id))
        for row in rows:
            await conn.execute(_insert(row, renamed, f"n % {len(templates)} = {number}"))
    await conn.execute("reset session_replication_role")
    await _reserve(conn)
    return Batch(stamp, first, count)


async def look_at(conn: Connection, templates: Sequence[str]) -> list[str]:
    """Remember the rows of the templates, as long as looking through all tables for them is quick."""
    for order_id in templates:
        await _rows_of(conn, order_id)
    return list(templates)


async def _reserve(conn: Connection) -> None:
    """Levels say what their live reservations sum up to."""
    await conn.execute(
        "update inventory_level as l set reserved_quantity = r.sum, "
        "raw_reserved_quantity = jsonb_build_object('value', trim_scale(r.sum)::text, 'precision', 20), "
        'stocked_quantity = 10000000, raw_stocked_quantity = \'{"value": "10000000", "precision": 20}\' '
        "from (select inventory_item_id, location_id, sum(quantity) as sum from reservation_item "
        "where deleted_at is null group by 1, 2) as r "
        "where l.inventory_item_id = r.inventory_item_id and l.location_id = r.location_id"
    )


async def _rows_of(conn: Connection, order_id: str) -> list[_Row]:
    """The order's rows in all tables: those that bear its id, or an id that one of them bears and the checkout made."""
    if order_id in _SEEN:
        return _SEEN[order_id]
    tables = await conn.fetch(_TABLES)
    since = order_id
    if await conn.fetchval("select to_regclass('order_cart')"):
        since = await conn.fetchval("select cart_id from order_cart where order_id = $1", order_id)
    known, found = {order_id}, dict[tuple[str, str], _Row]()
    before = 0
    while len(known) > before:
        before = len(known)
        for table in tables:
            texts = [c for c, t in zip(table["columns"], table["types"], strict=True) if t in _TEXTS]
            if not texts:
                continue
            where = " or ".join(f"{column} = any($1)" for column in texts)
            cells = ", ".join(f"{column}::text as {column}" for column in table["columns"])
            for record in await conn.fetch(f'select {cells} from "{table["name"]}" as t where {where}', list(known)):
                values = dict(record)
                if not _own(values.get("id") or order_id, since):
                    continue
                columns = dict(zip(values, zip(values.values(), table["types"], strict=True), strict=True))
                found[table["name"], str(record)] = _Row(table["name"], columns)
                ids = (match[0] for value in values.values() for match in _ID.finditer(value or ""))
                known |= {known_id for known_id in ids if _own(known_id, since)}
    _SEEN[order_id] = list(found.values())
    return _SEEN[order_id]


def _own(known: str, since: str) -> bool:
    """Whether the id is of the order alone: made since the cart, and of no kind that orders share."""
    match = _ID.fullmatch(known)
    return match is not None and match[1] not in SHARED and match[2][:10] >= since[-26:-16]


def _ids_of(rows: Sequence[_Row], prefix: str) -> list[re.Match[str]]:
    found = (m for row in rows for value, _ in row.columns.values() for m in _ID.finditer(value or ""))
    return [match for match in found if match[1] == prefix]


def _renamed(rows: Sequence[_Row], since: str) -> dict[str, str]:
    """For every id of the order the SQL that makes a copy's."""
    renamed: dict[str, str] = {}
    ordinals: dict[str, int] = {}
    texts = sorted({value for row in rows for value, _ in row.columns.values() if value})
    for match in (m for text in texts for m in _ID.finditer(text)):
        if _own(match[0], since) and match[0] not in renamed:
            ordinal = ordinals[match[1]] = ordinals.get(match[1], -1) + 1
            renamed[match[0]] = f"'{match[1]}_' || t || lpad(n::text, 14, '0') || '{ordinal:02d}'"
    return renamed | {match[0]: "pi" for text in texts for match in _INTENT.finditer(text)}


def _insert(row: _Row, renamed: dict[str, str], where: str) -> str:
    placed = row.columns.get("created_at", (None, ""))[0]
    cells = {}
    for name, (value, kind) in row.columns.items():
        if name == "display_id":
            continue
        if value is None:
            cells[name] = f"null::{kind}"
        elif kind.startswith("timestamp") and value == placed:
            cells[name] = "placed"
        else:
            cells[name] = _cell(value, kind, renamed)
    names = ", ".join(f'"{name}"' for name in cells)
    return f'insert into "{row.table}" ({names}) select {", ".join(cells.values())} from fresh where {where}'


def _cell(value: str, kind: str, renamed: dict[str, str]) -> str:
    parts = re.split(f"({'|'.join(map(re.escape, sorted(renamed, key=len, reverse=True)))})", value)
    made = " || ".join(renamed.get(part, _quote(part)) for part in parts if part) or "''"
    return f"({made})::{kind}"


def _quote(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _crockford(milliseconds: str) -> str:
    digits = "'0123456789ABCDEFGHJKMNPQRSTVWXYZ'"
    return " || ".join(f"substr({digits}, ((({milliseconds}) >> {5 * k}) & 31)::int + 1, 1)" for k in range(9, -1, -1))


async def schedule_captures(conn: Connection, batch: Batch, run_at: datetime) -> None:
    """The capture job of every order, as tracking would have written it."""
    await conn.execute(
        "insert into grace.jobs (kind, order_id, subject, run_at) "
        "select 'capture', 'order_' || s, 'pay_' || s, $4 from ("
        "select $1 || lpad(n::text, 14, '0') || '00' as s from generate_series($2::bigint, $3::bigint) as n) as k",
        batch.stamp,
        batch.first,
        batch.first + batch.count - 1,
        run_at,
    )


async def make_holds(sandbox: Sandbox, count: int, amount: int = 2974, currency: str = "eur") -> list[str]:
    """So many holds at the sandbox, in portions that keep it answering."""
    made: list[str] = []
    while len(made) < count:
        made += await sandbox.authorize_many(min(5000, count - len(made)), amount, currency)
    return made
