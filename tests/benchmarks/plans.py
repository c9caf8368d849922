"""The plans of what API and worker really ran, as Postgres' own auto_explain logged them: into functions, too.

A table is read whole by a sequential scan, or by an index from end to end: with no ``Index Cond`` to go in by, which is
what becomes of a wrong plan where ``enable_seqscan`` is off. An index of few entries, as of the jobs that are open, is
short whatever its table is; and one that was left after the first few was not read whole.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import asyncpg

from tests.benchmarks.testbed import ROLE

FEW: Final = 20_000
"""Rows. Where a look at a thousand orders meets so few, reading all of them is cheaper, and the planner right."""
LEFT_EARLY: Final = 100
"""Rows. Whoever wants the newest goes in at the end of an index and needs no condition."""

_SETTINGS: Final = {
    "session_preload_libraries": "auto_explain",
    "auto_explain.log_min_duration": "0",
    "auto_explain.log_nested_statements": "on",
    "auto_explain.log_format": "json",
    "auto_explain.log_analyze": "on",
    "auto_explain.log_timing": "off",
}
_SHAPE: Final = ("Node Type", "Index Name", "Relation Name")
_BY_INDEX: Final = frozenset(("Index Scan", "Index Only Scan", "Bitmap Index Scan"))


@dataclass(frozen=True)
class Plan:
    """What a statement did."""

    text: str
    nodes: tuple[dict[str, Any], ...]

    @property
    def looked_at(self) -> float:
        """Rows, by all its nodes."""
        return sum(map(_looked_at, self.nodes))


async def explain(conn: asyncpg.Connection, database: str, *, on: bool) -> None:
    """Have the plans of the sidecar's next connections logged, or no more."""
    for name, value in _SETTINGS.items():
        what = f"set {name} = '{value}'" if on else f"reset {name}"
        await conn.execute(f"alter role {ROLE} in database {database} {what}")


async def logged_plans(conn: asyncpg.Connection, database: str) -> list[Plan]:
    """All that were logged for the database, once each: as it was run over the most rows."""
    folder = Path(await conn.fetchval("show data_directory"))
    log = folder / await conn.fetchval("select pg_current_logfile('jsonlog')")
    found = dict[tuple[object, ...], Plan]()
    for line in log.read_text().splitlines():
        if not line.startswith("{") or " plan:" not in line:
            continue
        entry = json.loads(line)
        if entry.get("user") != ROLE or entry.get("dbname") != database:
            continue
        logged = json.loads(entry["message"].partition("plan:\n")[2])
        if logged["Query Text"].startswith("EXPLAIN"):
            continue  # how the sidecar finds out at its start what it may do: it runs nothing
        text = " ".join(row for row in logged["Query Text"].splitlines() if not row.startswith("--"))
        nodes = tuple(_nodes(logged["Plan"]))
        shape = tuple((*(node.get(k) for k in _SHAPE), "Index Cond" in node) for node in nodes)
        plan = Plan(" ".join(text.split()), nodes)
        found[text, shape] = max(plan, found.get((text, shape), plan), key=lambda p: p.looked_at)
    return list(found.values())


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", []):
        yield from _nodes(inner)


def _looked_at(node: dict[str, Any]) -> float:
    """Rows that a scan fetched, those that it threw away included. A scan that was never begun has no figures."""
    if not node["Node Type"].endswith("Scan") or "Actual Rows" not in node:
        return 0
    thrown = (node.get(f"Rows Removed by {why}", 0) for why in ("Filter", "Index Recheck"))
    return float((node["Actual Rows"] + sum(thrown)) * node["Actual Loops"])


async def lengths(conn: asyncpg.Connection) -> dict[str, int]:
    """Of Medusa's tables and ours, and of their indexes. Where both have one of a name, that of the longer."""
    rows = await conn.fetch(
        "select relname, reltuples::bigint as rows from pg_class "
        "where relnamespace in ('public'::regnamespace, 'grace'::regnamespace) order by 2"
    )
    return {row["relname"]: row["rows"] for row in rows}


def long_reads(plans: list[Plan], length: dict[str, int]) -> tuple[list[str], set[str]]:
    """What is read whole: what is long, in words, and the names of what is short."""
    bad, short = [], set[str]()
    for plan in plans:
        for node in plan.nodes:
            by_index = node["Node Type"] in _BY_INDEX
            name = node.get("Index Name" if by_index else "Relation Name")
            if name not in length:
                continue
            looked_at = _looked_at(node)
            whole = "Index Cond" not in node if by_index else node["Node Type"] == "Seq Scan"
            loops = node.get("Actual Loops", 0)
            left = by_index and loops and looked_at <= LEFT_EARLY * loops
            if looked_at > FEW or (whole and length[name] > FEW and not left):
                bad.append(f"{name}, {node['Node Type']}, {looked_at:.0f} rows of {length[name]}, by {plan.text}")
            elif whole and not left:
                short.add(name)
    return bad, short
