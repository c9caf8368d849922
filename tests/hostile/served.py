"""A served sidecar in a process of its own, and ways to treat it badly."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from app.embedded.processes import free_port
from app.embedded.stripe_sandbox.client import Sandbox
from tests.world import JWT_SECRET, SECRET

HOOK_SECRET = "whsec_of_the_hostile_tests_0123456789"
SECRETS = (SECRET, JWT_SECRET, HOOK_SECRET)
PATIENCE = 60.0


def assert_tells_nothing(log: str) -> None:
    """Neither a secret nor a token, nor that a request failed in a way that nobody foresaw."""
    assert not [secret for secret in SECRETS if secret in log]
    assert "eyJ" not in log, "a token is in the log"
    assert "request.failed" not in log
    assert "Traceback" not in log


@dataclass(frozen=True)
class Served:
    """A running ``medusa-grace serve``."""

    port: int
    log: Path
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def raw(self, *parts: bytes, pause: float = 0.0, within: float = 10.0) -> bytes:
        """Write bytes as they are, and read until the server closes, or is silent for ``within`` seconds."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writing = asyncio.create_task(_write(writer, parts, pause))
        answer = b""
        with contextlib.suppress(TimeoutError, ConnectionError):
            while chunk := await asyncio.wait_for(reader.read(65536), within):
                answer += chunk
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        writer.close()
        return answer

    def alive(self) -> bool:
        """Whether it still answers."""
        return httpx.get(f"{self.url}/health/ready", timeout=20).status_code == 200


async def _write(writer: asyncio.StreamWriter, parts: tuple[bytes, ...], pause: float) -> None:
    with contextlib.suppress(ConnectionError):
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause)


@contextmanager
def served(database: str, redis_url: str, sandbox: Sandbox, log: Path, **changes: str) -> Iterator[Served]:
    """``medusa-grace serve`` on a port of its own, with everything logged."""
    environ = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        "DATABASE_URL": database,
        "REDIS_URL": redis_url,
        "MODIFICATION_TOKEN_SECRET": SECRET,
        "MEDUSA_JWT_SECRET": JWT_SECRET,
        "STRIPE_WEBHOOK_SECRET": HOOK_SECRET,
        "STRIPE_API_BASE": sandbox.url,
        "VOID_WAIT_SECONDS": "0",
        "LOG_LEVEL": "DEBUG",
        "RATE_LIMIT_PER_ORDER": "0",
        **changes,
    }
    port = free_port()
    command = [sys.executable, "-m", "app.cli", "serve", "--host", "127.0.0.1", "--port", str(port)]
    with log.open("wb") as out:
        process = subprocess.Popen(command, env=environ, stdout=out, stderr=out, start_new_session=True)
    try:
        server = Served(port, log, process)
        _await_ready(server)
        yield server
    finally:
        with contextlib.suppress(ProcessLookupError):  # a test may have ended it
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _await_ready(server: Served) -> None:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and server.process.poll() is None:
        try:
            if server.alive():
                return
        except httpx.HTTPError:
            time.sleep(0.1)
    raise AssertionError(server.log.read_text(errors="replace")[-2000:])
