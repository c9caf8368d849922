"""What an examination costs grows with the shop, not with its square."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import asyncpg
import pytest

from app.sql_files import read_statements
from plugins.medusa_bridge.sqlfile import FOLDER

FINDS = {name: text for name, text in read_statements(FOLDER) if name.startswith("find_")}


@pytest.mark.parametrize("name", FINDS)
async def test_no_table_is_searched_from_its_beginning_for_every_row(conn: asyncpg.Connection, name: str) -> None:
    """As a look for one row, which stops at the first, may be planned: "it will be found soon"."""
    text = FINDS[name]
    unknown = ", ".join(["null"] * len((await conn.prepare(text)).get_parameters()))
    async with conn.transaction():
        await conn.execute(f"prepare {name} as {text}")
        try:
            plan = json.loads(await conn.fetchval(f"explain (format json) execute {name}({unknown})".replace("()", "")))
        finally:
            await conn.execute(f"deallocate {name}")
    repeated = [node["Node Type"] for node in _inner(plan[0]["Plan"], inner=False)]
    assert "Limit" not in repeated, "it stops at the first row, wherever that is"


def _inner(node: dict[str, Any], *, inner: bool) -> Iterator[dict[str, Any]]:
    """What is run once for each row of something else."""
    if inner:
        yield node
    for child in node.get("Plans", ()):
        yield from _inner(child, inner=inner or child["Parent Relationship"] in ("Inner", "SubPlan"))
