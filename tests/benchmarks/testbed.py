"""The servers with a real shop's durable settings, and the sidecar's processes as an operator starts them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import asyncpg
import httpx
import redis

from app.embedded.postgres import Postgres
from app.embedded.processes import HOST, Held, await_ready, end, free_port, scratch, spawn
from app.embedded.shop import create_publishable_key, create_tables
from app.embedded.stripe_sandbox.client import Sandbox
from app.embedded.valkey import Valkey
from app.roles import grant_role
from app.store.migrate import migrate

ROLE: Final = "grace"
SHOP: Final = "shop"
GRACE: Final = 24 * 3600

# A checkpoint in one half of a pair and not in the other would be noise; jsonlog is what ``statements`` reads.
_POSTGRES: Final = {
    "logging_collector": "on",
    "log_destination": "jsonlog",
    "log_rotation_size": "0",
    "shared_preload_libraries": "pg_stat_statements",
    "pg_stat_statements.track": "none",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "30min",
    "shared_buffers": "512MB",
}


class Testbed:
    """Postgres, Valkey and a Stripe sandbox, up for the length of a ``with``. From the main thread alone."""

    def __init__(self, kinds: int = 20) -> None:
        """``kinds`` is how many things the shop sells: each has stock of its own, which releases lock."""
        self.kinds = kinds
        self._stack = ExitStack()
        self.secret = secrets.token_urlsafe(32)
        self.stripe_key = f"sk_test_{secrets.token_hex(12)}"
        self.stripe = ""
        self.stripe_pid = 0
        self.keys: dict[str, str] = {}
        self.templates: list[str] = []
        """Orders to copy captures from."""

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def sandbox(self) -> Sandbox:
        """The shop's Stripe account. One per event loop."""
        return Sandbox(self.stripe, self.stripe_key)

    def dsn(self, database: str = SHOP) -> str:
        """A database, as its owner."""
        return self.postgres.dsn(database)

    def role_dsn(self, database: str = SHOP) -> str:
        """A database, as the sidecar's role."""
        return self.postgres.dsn(database, user=ROLE, password=self.secret)

    @contextmanager
    def serve(self, processes: int = 1, database: str = SHOP, **changes: str) -> Iterator[Program]:
        """``medusa-grace serve``, ready."""
        port = free_port()
        argv = ["serve", "--host", HOST, "--port", str(port), "--processes", str(processes)]
        with self._program("serve", argv, database, changes) as program:
            program.port = port
            await_ready(program.child, lambda: answers(f"http://{HOST}:{port}"), name="serve", log=program.log)
            yield program

    @contextmanager
    def workers(self, count: int = 1, database: str = SHOP, **changes: str) -> Iterator[list[Program]]:
        """So many ``medusa-grace worker``, ready."""
        with ExitStack() as stack:
            programs = [
                stack.enter_context(self._program("worker", ["worker"], database, changes)) for _ in range(count)
            ]
            for program in programs:
                await_ready(program.child, program.says("worker.ready"), name="worker", log=program.log)
            yield programs

    def renew(self) -> None:
        """An empty shop, an empty Redis and an empty Stripe account, as at the start."""
        asyncio.run(self._drop_databases())
        self.templates.clear()
        with redis.Redis.from_url(self.valkey.url()) as client:
            client.flushall()
        asyncio.run(self.sandbox.reset())
        self.add_shop(SHOP)

    def add_shop(self, database: str) -> None:
        """A database with Medusa's tables and ours, and a publishable key."""
        self.keys[database] = asyncio.run(self._furnish(database))

    def new_log(self, name: str) -> Path:
        """A file for what a process says."""
        return self._scratch.directory / f"{name}-{time.monotonic_ns()}.log"

    def environment(self, database: str = SHOP, **changes: str) -> dict[str, str]:
        """What the sidecar's processes are set up with; ``changes`` by their names."""
        return {
            "DATABASE_URL": self.role_dsn(database),
            "REDIS_URL": self.valkey.url(0),
            "MEDUSA_REDIS_URL": self.valkey.url(1),
            "MEDUSA_LOCKING": "redis",
            "STRIPE_API_KEY": self.stripe_key,
            "STRIPE_API_BASE": self.stripe,
            "MODIFICATION_TOKEN_SECRET": self.secret,
            "GRACE_PERIOD_SECONDS": str(GRACE),
            "STRIPE_REQUESTS_PER_SECOND": "10000",  # what the program can do; part f has the default
            **changes,
        }

    def _start(self) -> None:
        self._scratch: Held = scratch("bench", None)
        self._stack.callback(lambda: self._scratch.release(remove=True))
        self.postgres = self._stack.enter_context(Postgres.start(durable=True, settings=_POSTGRES))
        self.valkey = self._stack.enter_context(Valkey.start())
        port_file = self._scratch.directory / "stripe.port"
        log = self._scratch.directory / "stripe.log"
        argv = [sys.executable, "-m", "app.embedded.stripe_sandbox", "--port-file", str(port_file)]
        child = spawn(argv, account=None, log=log, on_our_death=signal.SIGKILL)
        self._stack.callback(end, child, signal.SIGTERM)
        await_ready(child, port_file.exists, name="the Stripe sandbox", log=log)
        self.stripe, self.stripe_pid = f"http://{HOST}:{port_file.read_text()}", child.pid

    async def _drop_databases(self) -> None:
        admin = await asyncpg.connect(self.postgres.dsn())
        try:
            for row in await admin.fetch("select datname from pg_database where not datistemplate"):
                if row["datname"] != "postgres":
                    await admin.execute(f"drop database {row['datname']} with (force)")
        finally:
            await admin.close()

    async def create_database(self, database: str) -> None:
        """An empty one, on a server as durable as a real shop's."""
        admin = await asyncpg.connect(self.postgres.dsn())
        try:
            await admin.execute(f"create database {database}")
            for name in ("fsync", "synchronous_commit", "full_page_writes"):
                assert await admin.fetchval(f"show {name}") == "on", f"{name} is off: this is no real shop's database"
        finally:
            await admin.close()

    async def _furnish(self, database: str) -> str:
        await self.create_database(database)
        conn = await asyncpg.connect(self.dsn(database))
        try:
            await create_tables(conn)
            key = await create_publishable_key(conn)
            await conn.execute("create extension pg_stat_statements")
        finally:
            await conn.close()
        await migrate(self.dsn(database))
        await grant_role(self.dsn(database), ROLE, password=self.secret)
        return key

    @contextmanager
    def _program(self, name: str, argv: list[str], database: str, changes: Mapping[str, str]) -> Iterator[Program]:
        log = self.new_log(name)
        settings = self.environment(database, **changes)
        child = spawn(
            [sys.executable, "-m", "app.cli", *argv],
            account=None,
            log=log,
            on_our_death=signal.SIGKILL,
            settings=settings,
        )
        try:
            yield Program(child, log)
        finally:
            end(child, signal.SIGTERM, patience=20)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)


class Program:
    """A running process of the sidecar."""

    def __init__(self, child: subprocess.Popen[bytes], log: Path) -> None:
        self.child = child
        self.log = log
        self.port = 0

    def says(self, words: str) -> Callable[[], bool]:
        """Whether its log has the words by now."""
        return lambda: words in self.log.read_text(errors="replace")

    def pids(self) -> list[int]:
        """It and its children: granian serves from a child of its own."""
        found = [self.child.pid]
        for pid in found:
            with contextlib.suppress(OSError):
                found += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        return found


def answers(url: str) -> bool:
    """Whether the API is ready."""
    try:
        return httpx.get(f"{url}/health/ready", timeout=2, trust_env=False).is_success
    except httpx.HTTPError:
        time.sleep(0.05)
        return False
