"""Every row of the shop's database before and after an act, and the changes between the two.

Ids, times and shared counters are spelled so that the changes of two twin orders can be laid side by side.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

import asyncpg

Row = Mapping[str, Any]
"""One row: column -> value, with the inside of JSON columns as ``column.key``."""

Snapshot = Mapping[tuple[str, str], Row]
"""Every row of every table, by table and primary key."""

_TABLES = """
select c.relname,
       (select array_agg(a.attname order by a.attname)
          from pg_index i join pg_attribute a on a.attrelid = c.oid and a.attnum = any (i.indkey)
         where i.indrelid = c.oid and i.indisprimary) as key
  from pg_class c
 where c.relkind = 'r' and c.relnamespace = 'public'::regnamespace
 order by c.relname
"""
_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d")
_EPOCH = range(1_500_000_000, 4_000_000_000)
_ABSENT = "(absent)"
_STRIPE_ID = re.compile(r"^(pi|ch|py|pm|re|txn|req|src|cus|card|seti|evt)_[A-Za-z0-9_]+$")


async def take_snapshot(conn: asyncpg.Connection) -> Snapshot:
    """All rows of all tables of the public schema, in one statement and so of one moment."""
    tables = await conn.fetch(_TABLES)
    keys = {table["relname"]: table["key"] for table in tables}
    parts = (f"select '{name}' as name, to_jsonb(t)::text as row from public.\"{name}\" t" for name in keys)
    found: dict[tuple[str, str], Row] = {}
    for record in await conn.fetch(" union all ".join(parts)):
        row = json.loads(record["row"], parse_float=Decimal)
        key = keys[record["name"]]
        primary = "/".join(str(row[column]) for column in key) if key else record["row"]
        found[record["name"], primary] = dict(_flat(row))
    return found


@dataclass(frozen=True)
class Change:
    """What an act did to one row: all columns of a new row, the changed ones of an old row as ``before -> after``."""

    table: str
    act: Literal["insert", "update", "delete"]
    row: str
    columns: Mapping[str, str]


class Act:
    """What happened between two snapshots to an order that was placed between two earlier ones."""

    def __init__(self, *, placing: tuple[Snapshot, Snapshot], acting: tuple[Snapshot, Snapshot]):
        self._own = {key: row for key, row in placing[1].items() if key not in placing[0]}
        self._names = _names(self._own, "")
        self._before, self._after = acting

    def changes(self) -> list[Change]:
        """One change a row, in the order's own words."""
        before, after = self._before, self._after
        inserted = {key: row for key, row in after.items() if key not in before}
        names = self._names | _names(inserted, "new ")
        found = [
            Change(table, "insert", names[key], {column: _spell(value, names) for column, value in row.items()})
            for (table, key), row in inserted.items()
        ]
        for (table, key), row in before.items():
            if (now := after.get((table, key))) is None:
                found.append(Change(table, "delete", names.get(key, key), {}))
            elif now != row:
                shared = (table, key) not in self._own
                columns = {
                    column: _move(row.get(column, _ABSENT), now.get(column, _ABSENT), names, shared=shared)
                    for column in sorted(row.keys() | now.keys())
                    if row.get(column, _ABSENT) != now.get(column, _ABSENT)
                }
                found.append(Change(table, "update", names.get(key, key), columns))
        return sorted(found, key=lambda change: (change.table, change.act, change.row))


def _names(rows: Mapping[tuple[str, str], Row], prefix: str) -> dict[str, str]:
    """Every row's id by its table and its place among its likes: the same word for the same row of a twin."""
    ids = {str(row["id"]): table for (table, _), row in rows.items() if "id" in row}
    numbered: Counter[str] = Counter()
    names: dict[str, str] = {}
    for table, key in sorted(rows, key=lambda key: (key[0], _content(rows[key], ids), key[1])):
        names[key] = names[str(rows[table, key].get("id", key))] = f"{prefix}{table}[{numbered[table]}]"
        numbered[table] += 1
    return names


def _content(row: Row, ids: Mapping[str, str]) -> str:
    """A row without what differs between twins, which is its own ids and its times."""
    return json.dumps({column: _spell(value, ids) for column, value in row.items()})


def _move(before: Any, after: Any, names: Mapping[str, str], *, shared: bool) -> str:
    if shared and (difference := _difference(before, after)) is not None:
        return f"{difference:+}"  # a counter that twins have in common
    return f"{_spell(before, names)} -> {_spell(after, names)}"


def _difference(before: Any, after: Any) -> Decimal | None:
    try:
        return Decimal(after) - Decimal(before)
    except (TypeError, ArithmeticError):
        return None


def _spell(value: Any, names: Mapping[str, str]) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case int() if value in _EPOCH:
            return "<time>"
        case str() if value in names:
            return f"<{names[value]}>"
        case str() if _TIME.match(value):
            return "<time>"
        case str() if found := _STRIPE_ID.match(value):
            return f"<Stripe's {found[1]}_>"
        case _:
            return str(value)


def _flat(value: Any, path: str = "") -> Iterable[tuple[str, Any]]:
    match value:
        case dict() if value:
            for key, inner in value.items():
                yield from _flat(inner, f"{path}.{key}" if path else key)
        case list() if value:
            for index, inner in enumerate(value):
                yield from _flat(inner, f"{path}[{index}]")
        case _:
            yield path, value
