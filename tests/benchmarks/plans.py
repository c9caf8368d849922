"""The plans of what API and worker really ran, as Postgres' own auto_explain logged them: into functions, too."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import asyncpg

from tests.benchmarks.ground import ROLE

FEW: Final = 20_000
"""Rows. Where a look at a thousand orders meets so few, reading all of them is cheaper, and the planner right."""

_SETTINGS: Final = {
    "session_preload_libraries": "auto_explain",
    "auto_explain.log_min_duration": "0",
    "auto_explain.log_nested_statements": "on",
    "auto_explain.log_format": "json",
}


@dataclass(frozen=True)
class Plan:
    """What a statement did."""

    text: str
    nodes: tuple[dict[str, Any], ...]

    def scanned(self) -> set[str]:
        """Tables of Medusa's that it read from end to end."""
        return {
            node["Relation Name"]
            for node in self.nodes
            if node["Node Type"] == "Seq Scan" and node.get("Schema", "public") == "public"
        }


async def explain(conn: asyncpg.Connection, database: str, *, on: bool) -> None:
    """Have the plans of the sidecar's next connections logged, or no more."""
    for name, value in _SETTINGS.items():
        what = f"set {name} = '{value}'" if on else f"reset {name}"
        await conn.execute(f"alter role {ROLE} in database {database} {what}")


async def logged_plans(conn: asyncpg.Connection, database: str) -> list[Plan]:
    """All that were logged for the database, once each."""
    folder = Path(await conn.fetchval("show data_directory"))
    log = folder / await conn.fetchval("select pg_current_logfile('jsonlog')")
    found = {}
    for line in log.read_text().splitlines():
        if not line.startswith("{") or " plan:" not in line:
            continue
        entry = json.loads(line)
        if entry.get("user") != ROLE or entry.get("dbname") != database:
            continue
        logged = json.loads(entry["message"].partition("plan:\n")[2])
        text = " ".join(row for row in logged["Query Text"].splitlines() if not row.startswith("--"))
        nodes = tuple(_nodes(logged["Plan"]))
        shape = tuple((node["Node Type"], node.get("Index Name"), node.get("Relation Name")) for node in nodes)
        found[text, shape] = Plan(" ".join(text.split()), nodes)
    return list(found.values())


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", []):
        yield from _nodes(inner)


async def long_scans(conn: asyncpg.Connection, plans: list[Plan]) -> tuple[list[str], set[str]]:
    """Sequential scans of Medusa's tables: those of a long table, in words, and the names of the short ones."""
    rows = await conn.fetch(
        "select relname, reltuples::bigint as rows from pg_class where relnamespace = 'public'::regnamespace"
    )
    size = {row["relname"]: row["rows"] for row in rows}
    bad, short = [], set[str]()
    for plan in plans:
        for table in plan.scanned() & size.keys():
            if size[table] > FEW:
                bad.append(f"{table} ({size[table]} rows) by {plan.text[:200]}")
            else:
                short.add(table)
    return bad, short
