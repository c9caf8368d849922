"""The processes: Postgres, Valkey, the Stripe sandbox, one API, two workers. All keep their ports over restarts."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import asyncpg
import httpx
import redis

from app.embedded.hasten import hasten_captures
from app.embedded.postgres import Postgres
from app.embedded.processes import HOST, Held, await_ready, end, free_port, scratch, spawn
from app.embedded.shop import create_publishable_key, create_tables
from app.embedded.stripe_sandbox.client import Sandbox
from app.embedded.valkey import Valkey
from app.settings import LEAST_CAPTURE_DELAY
from app.store.migrate import migrate
from plugins.medusa_bridge import FUNCTIONS, grant_role
from tests.chaos.records import DELAY_SECONDS, GRACE_SECONDS

API: Final = "serve"
WORKERS: Final = ("worker-1", "worker-2")
CHOICES: Final = {
    "GRACE_PERIOD_SECONDS": str(GRACE_SECONDS),
    "VOID_WAIT_SECONDS": "1",
    "RATE_LIMIT_PER_ORDER": "0",
    "RATE_LIMIT_PER_ADDRESS": "0",
}


class Ground:
    """Starts, kills and restarts everything. Use it from the main thread alone: children die with their thread."""

    def __init__(self) -> None:
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._meant_to_run: set[str] = set()
        self._scratch: Held | None = None
        self._postgres: Postgres | None = None
        self._valkey: Valkey | None = None
        self._environment: dict[str, str] = {}
        self._port = free_port()
        self.secret = secrets.token_urlsafe(32)
        self.stripe_key = f"sk_test_{secrets.token_hex(12)}"
        self.stripe = ""
        self.publishable_key = ""
        self.armed_at = 0.0
        """When Stripe was last told to fail."""
        self.deserters: list[str] = []
        """Processes of the sidecar that ended although nobody killed them."""

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def api(self) -> str:
        """Where the API listens, or will again."""
        return f"http://{HOST}:{self._port}"

    @property
    def dsn(self) -> str:
        """The shop's database."""
        return self.postgres.dsn("shop")

    @property
    def postgres(self) -> Postgres:
        """The database server."""
        assert self._postgres is not None
        return self._postgres

    @property
    def valkey(self) -> Valkey:
        """The sidecar's and Medusa's Redis."""
        assert self._valkey is not None
        return self._valkey

    @property
    def sandbox(self) -> Sandbox:
        """The shop's Stripe account. One per event loop."""
        return Sandbox(self.stripe, self.stripe_key)

    @property
    def logs(self) -> Path:
        """Where the processes write, until ``stop()``."""
        assert self._scratch is not None
        return self._scratch.directory

    def start(self, *names: str) -> None:
        """Start sidecar processes and return once all are ready."""
        ready = {name: self._readiness(name) for name in names}
        for name in names:
            self._children[name] = self._spawn(name)
            self._meant_to_run.add(name)
        for name in names:
            await_ready(self._children[name], ready[name], name=name, log=self.logs / f"{name}.log")

    def kill(self, *names: str) -> None:
        """SIGKILL, the whole group: granian serves from a child of its own."""
        for name in names:
            self._notice(name)
            self._meant_to_run.discard(name)
            child = self._children[name]
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait(10)

    def kill_serving_process(self) -> None:
        """SIGKILL the child that granian serves from, and leave granian to make of it what it does."""
        self._notice(API)
        self._meant_to_run.discard(API)
        found = subprocess.run(
            ["pgrep", "-P", str(self._children[API].pid)], capture_output=True, text=True, check=False
        )
        for pid in map(int, found.stdout.split()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def restore_api(self) -> None:
        """Start the API again if it ended, as a process manager would; return once it answers."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._children[API].wait(2)
            self.start(API)
            return
        self._meant_to_run.add(API)
        await_ready(self._children[API], self._api_answers, name=API, log=self.logs / f"{API}.log")

    def revive_deserters(self) -> None:
        """What ended by itself is noted, and started again as a process manager would."""
        for name in sorted(self._meant_to_run):
            if self._notice(name):
                self.kill(name)
                self.start(name)

    def flush(self) -> None:
        """Valkey forgets everything."""
        with redis.Redis.from_url(self.valkey.url()) as client:
            client.flushall()

    def keep_logs(self, target: Path) -> None:
        """Copy the logs out of the directory that goes with ``stop()``."""
        target.mkdir(parents=True, exist_ok=True)
        for log in self.logs.glob("*.log"):
            shutil.copy(log, target / log.name)

    def stop(self) -> None:
        """Stop everything and remove every trace. Safe to call twice."""
        self._meant_to_run.clear()
        for child in reversed(self._children.values()):
            end(child, signal.SIGTERM, patience=5)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
        self._children.clear()
        for server in (self._valkey, self._postgres):
            if server is not None:
                server.stop()
        self._valkey = self._postgres = None
        if self._scratch is not None:
            self._scratch.release(remove=True)
            self._scratch = None

    def _start(self) -> None:
        self._scratch = scratch("chaos", None)
        self._postgres = Postgres.start(durable=False)
        self._valkey = Valkey.start()
        port_file = self.logs / "stripe.port"
        argv = [sys.executable, "-m", "app.embedded.stripe_sandbox", "--port-file", str(port_file)]
        log = self.logs / "stripe.log"
        self._children["stripe"] = spawn(argv, account=None, log=log, on_our_death=signal.SIGTERM)
        await_ready(self._children["stripe"], port_file.exists, name="the Stripe sandbox", log=log)
        self.stripe = f"http://{HOST}:{port_file.read_text()}"
        self.publishable_key = asyncio.run(self._furnish())
        self._environment = {
            "DATABASE_URL": self.postgres.dsn("shop", user="grace", password=self.secret),
            "REDIS_URL": self.valkey.url(0),
            "MEDUSA_REDIS_URL": self.valkey.url(1),
            "MEDUSA_LOCKING": "redis",
            "STRIPE_API_KEY": self.stripe_key,
            "STRIPE_API_BASE": self.stripe,
            "MODIFICATION_TOKEN_SECRET": self.secret,
            **CHOICES,
        }
        self.start(API, *WORKERS)

    def _spawn(self, name: str) -> subprocess.Popen[bytes]:
        verb = [API, "--host", HOST, "--port", str(self._port)] if name == API else ["worker"]
        return spawn(
            [sys.executable, "-m", "app.cli", *verb],
            account=None,
            log=self.logs / f"{name}.log",
            on_our_death=signal.SIGKILL,
            settings=self._environment,
        )

    def _readiness(self, name: str) -> Callable[[], bool]:
        if name == API:
            return self._api_answers
        log = self.logs / f"{name}.log"
        before = _count_ready(log)
        return lambda: _count_ready(log) > before

    def _notice(self, name: str) -> bool:
        """Whether a process that should run does not."""
        code = self._children[name].poll()
        if name not in self._meant_to_run or code is None:
            return False
        self.deserters.append(f"{name} ended by itself with code {code} at {time.time():.1f}")
        return True

    def _api_answers(self) -> bool:
        try:
            return httpx.get(f"{self.api}/health/ready", timeout=1, trust_env=False).is_success
        except httpx.HTTPError:
            time.sleep(0.05)
            return False

    async def _furnish(self) -> str:
        admin = await asyncpg.connect(self.postgres.dsn())
        await admin.execute("create database shop")
        await admin.close()
        conn = await asyncpg.connect(self.dsn)
        try:
            await create_tables(conn)
            key = await create_publishable_key(conn)
        finally:
            await conn.close()
        await migrate(self.dsn, FUNCTIONS)
        conn = await asyncpg.connect(self.dsn)
        await hasten_captures(conn, timedelta(seconds=float(LEAST_CAPTURE_DELAY) - DELAY_SECONDS))
        await conn.close()
        await grant_role(self.dsn, "grace", password=self.secret)
        return key


def _count_ready(log: Path) -> int:
    return log.read_text(errors="replace").count("worker.ready") if log.exists() else 0
