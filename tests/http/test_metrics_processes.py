"""Several API processes on one host are counted together, as ``medusa-grace serve --processes`` starts them."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx

from app.embedded.processes import free_port
from tests.world import SECRET, Shop, eventually

AT_LEAST, AT_MOST = 20, 2000


async def test_two_processes_are_counted_as_one(shop: Shop, database: str, redis_url: str, tmp_path: Path) -> None:
    port, metrics = free_port(), free_port()
    environ = {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": database,
        "REDIS_URL": redis_url,
        "MODIFICATION_TOKEN_SECRET": SECRET,
        "METRICS_LISTEN": f"127.0.0.1:{metrics}",
        "RATE_LIMIT_PER_ORDER": "0",
        "RATE_LIMIT_PER_ADDRESS": "0",
        "TMPDIR": str(tmp_path),
    }
    command = [sys.executable, "-m", "app.cli", "serve", "--port", str(port), "--processes", "2"]
    log = tmp_path / "log"
    server = _start(command, environ, log)
    try:
        await eventually(lambda: _answers(f"http://127.0.0.1:{port}/health/live"), within=60, message=log.read_text())
        await eventually(lambda: _answers(f"http://127.0.0.1:{metrics}/metrics"), within=60, message=log.read_text())
        sent = 0
        while sent < AT_MOST and (sent < AT_LEAST or _counting(tmp_path) < 2):  # until both have had one
            answer = await _send("POST", f"http://127.0.0.1:{port}/store/orders/order_1/cancel", key=shop.key)
            assert answer.status_code == 401
            sent += 1

        async def counted() -> bool:
            text = (await _send("GET", f"http://127.0.0.1:{metrics}/metrics")).text
            return f'grace_cancels_total{{outcome="token_required"}} {sent}.0' in text

        await eventually(counted, within=20, message="not all were counted")
        assert _counting(tmp_path) == 2, "one process answered them all"
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        try:
            await asyncio.to_thread(server.wait, 30)
        finally:
            if server.poll() is None:
                os.killpg(server.pid, signal.SIGKILL)
                server.wait()
    assert _folders(tmp_path) == [], "it cleans up"


def _start(command: list[str], environ: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as out:
        return subprocess.Popen(command, env=environ, stdout=out, stderr=out, start_new_session=True)


def _folders(tmp_path: Path) -> list[Path]:
    return [*tmp_path.glob("grace-metrics-*")]


def _counting(tmp_path: Path) -> int:
    """Processes that have counted something."""
    return len([*tmp_path.glob("grace-metrics-*/counter_*.db")])


async def _answers(url: str) -> bool:
    try:
        return (await _send("GET", url)).status_code == 200
    except httpx.HTTPError:
        return False


async def _send(method: str, url: str, *, key: str = "") -> httpx.Response:
    """On a connection of its own, so that any process may take it."""
    headers = {"x-publishable-api-key": key}
    return await asyncio.to_thread(httpx.request, method, url, headers=headers, timeout=30, trust_env=False)
