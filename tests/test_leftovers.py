"""A test that hangs is ended, and what a failed test leaves open fails no later one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.leftovers import SLOW

pytestmark = pytest.mark.tools


ROOT = Path(__file__).parents[1]
SUITE = """
import asyncio
import gc
import threading

import asyncpg
import pytest

from tests.databases import one_database_a_file

database = one_database_a_file()
kept = []

@pytest.mark.timeout(0.5)
async def test_that_awaits_what_never_comes():
    await asyncio.Event().wait()

@pytest.mark.timeout(0.5)
def test_that_waits_for_a_lock():
    threading.Event().wait()

async def test_that_fails_with_a_connection_and_a_task(database, conn):
    other = await asyncpg.connect(database)
    await other.execute("begin")
    await other.execute("lock table payment")
    kept.append(asyncio.create_task(_query(conn)))
    await asyncio.sleep(0.1)
    assert not kept, "left open"

async def test_that_leaves_a_server_and_its_client():
    server = await asyncio.start_server(_read, "127.0.0.1", 0)
    await asyncio.open_connection(*server.sockets[0].getsockname())
    await asyncio.sleep(0.1)
    server.close()

async def test_that_is_innocent(conn):
    assert all(task.done() for task in kept)
    kept.clear()
    gc.collect()
    await conn.execute("set lock_timeout = '1s'")
    assert await conn.fetchval("select count(*) from payment") == 0

async def _query(conn):
    await conn.fetchval("select count(*) from payment")

async def _read(reader, writer):
    await reader.read()
"""


def test_a_failure_stays_with_its_test(tmp_path: Path) -> None:
    suite = tmp_path / "test_of_the_suite.py"
    suite.write_text(SUITE)
    options = ["-c", str(ROOT / "pyproject.toml"), "-p", "tests.conftest", "-p", "no:cacheprovider", "-q"]
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(suite)], cwd=ROOT, capture_output=True, text=True, timeout=50
    )
    assert "3 failed, 2 passed" in ran.stdout.splitlines()[-1], ran.stdout
    assert ran.stdout.count(" - Failed: Timeout") == 2
    assert "AssertionError: left open" in ran.stdout


def test_every_test_has_a_limit_of_its_own_kind(request: pytest.FixtureRequest) -> None:
    default = float(request.config.getini("timeout"))
    assert 30 <= default <= 120
    assert request.config.getini("timeout_method") == "signal"
    for item in request.session.items:
        marker = item.get_closest_marker("timeout")
        slow = any(item.get_closest_marker(name) or name in item.path.parts for name in SLOW)
        assert marker is not None or not slow, f"{item.nodeid} has no time"
    assert all(seconds > default for seconds in SLOW.values())
