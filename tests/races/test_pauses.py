"""The explorer plays production's functions: their very text, with a pause ahead of each statement."""

from __future__ import annotations

import re

import asyncpg
import pytest

from tests.races.explorer.pauses import SAID, paused, prepare, short
from tests.races.explorer.postgres_seam import CANCELS

pytestmark = pytest.mark.tools


_PAUSE = re.compile(r"perform explorer\.pause\('[^']*'\);\n    ")
PLACES = {
    "lock_order_rows": ["lock order", "lock payment"],
    "lock_order": ["read"],
    "claim_job": ["write jobs events"],
    "cancel_order": [CANCELS.removeprefix("cancel_order: "), "write jobs cancellations events"],
    "hand_over_captures": ["write jobs"],
}


@pytest.fixture
async def originals(conn: asyncpg.Connection) -> dict[str, tuple[str, str]]:
    """Full name and definition of each function that is played, as ``migrate`` installed it."""
    await prepare(conn)
    rows = await conn.fetch("select name, definition from explorer.originals where pauses")
    return {short(row["name"]): (row["name"], row["definition"]) for row in rows}


async def test_each_statement_is_a_point(originals: dict[str, tuple[str, str]]) -> None:
    found = {
        name: re.findall(rf"pause\('{name}: ([^']*)'\)", paused(name, definition))
        for name, (_, definition) in originals.items()
    }
    assert found == PLACES


async def test_nothing_else_of_the_text_is_changed(
    originals: dict[str, tuple[str, str]], conn: asyncpg.Connection
) -> None:
    """Save that locks are waited for longer."""
    for name, definition in originals.values():
        text = await conn.fetchval("select pg_get_functiondef(to_regproc('grace.' || $1))", name)
        assert "explorer.pause" in text
        assert _PAUSE.sub("", text).replace("'60s'", "'2s'") == definition


async def test_a_backend_without_a_gate_passes_every_pause(
    originals: dict[str, tuple[str, str]], conn: asyncpg.Connection
) -> None:
    said: list[str] = []
    conn.add_log_listener(lambda _, message: said.append(message.message or ""))
    name, _ = originals["lock_order"]
    assert await conn.fetch(f"select * from grace.{name}('order_unknown')") == []
    assert not any(one.startswith(SAID) for one in said)
