"""Everything at once on a bare machine: Postgres, Valkey, a Stripe sandbox, a small shop, the sidecar."""

from __future__ import annotations

import asyncio
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import asyncpg
import httpx

from app.embedded.postgres import Postgres
from app.embedded.processes import HOST, Held, await_ready, end, free_port, scratch, spawn
from app.embedded.shop import create_publishable_key, create_tables
from app.embedded.stripe_sandbox.client import Sandbox
from app.embedded.valkey import Valkey
from app.gateways.receipt_keys import new_key
from app.roles import grant_role
from app.store.migrate import migrate

DATABASE: Final = "shop"
ROLE: Final = "grace"
_STATISTICS: Final = {
    "autovacuum_naptime": "1s",
    "autovacuum_analyze_threshold": "0",
    "autovacuum_analyze_scale_factor": "0.1",
}
"""Postgres analyzes a table after fifty changed rows, which a shop of three orders would not see."""


class Stage:
    """The servers, the sandbox and the two sidecar processes, started in order and stopped in reverse.

    Start it from the main thread: all of it ends with that thread, however it ends. All addresses are on
    the loopback and all secrets are made up anew.
    """

    def __init__(self, settings: Mapping[str, str], starting: Callable[[str], None]) -> None:
        """``settings`` are the sidecar's own choices by name; addresses and secrets are filled in here.

        ``starting`` is called with the name of each part before it is started.
        """
        self._choices = settings
        self._starting = starting
        self._children: list[subprocess.Popen[bytes]] = []
        self._scratch: Held | None = None
        self._postgres: Postgres | None = None
        self._valkey: Valkey | None = None
        self.secret = secrets.token_urlsafe(32)
        self.stripe_key = f"sk_test_{secrets.token_hex(12)}"
        self.api = ""
        self.stripe = ""
        self.publishable_key = ""
        self.environment: dict[str, str] = {}

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
    def dsn(self) -> str:
        """The shop's database, as its superuser; the processes have a role of their own."""
        assert self._postgres is not None
        return self._postgres.dsn(DATABASE)

    @property
    def logs(self) -> Path:
        """Where the processes write their logs, as long as the stage stands."""
        assert self._scratch is not None
        return self._scratch.directory

    @property
    def sandbox(self) -> Sandbox:
        """The shop's account at the Stripe sandbox."""
        return Sandbox(self.stripe, self.stripe_key)

    def stop(self) -> None:
        """Stop what runs, newest first, and remove every trace. Safe to call twice."""
        for child in reversed(self._children):
            end(child, signal.SIGTERM, patience=15)
        self._children.clear()
        for server in (self._valkey, self._postgres):
            if server is not None:
                server.stop()
        self._valkey = self._postgres = None
        if self._scratch is not None:
            self._scratch.release(remove=True)
            self._scratch = None

    def _start(self) -> None:
        self._scratch = scratch("stage", None)
        self._starting("Postgres")
        self._postgres = Postgres.start(durable=False, settings=_STATISTICS)
        self._starting("Valkey")
        self._valkey = Valkey.start()
        self._starting("the Stripe sandbox")
        self.stripe = self._start_sandbox()
        self._starting("the shop: Medusa's tables, then schema grace")
        self.publishable_key = asyncio.run(self._furnish())
        self._starting("the API and a worker")
        port = free_port()
        self.api = f"http://{HOST}:{port}"
        self.environment = {
            "DATABASE_URL": self._postgres.dsn(DATABASE, user=ROLE, password=self.secret),
            "REDIS_URL": self._valkey.url(0),
            "MEDUSA_REDIS_URL": self._valkey.url(1),
            "MEDUSA_LOCKING": "redis",
            "STRIPE_API_KEY": self.stripe_key,
            "STRIPE_API_BASE": self.stripe,
            "MODIFICATION_TOKEN_SECRET": self.secret,
            "RECEIPT_SIGNING_KEY": new_key()[0],
            "STORE_CORS": "http://localhost:8000",
            **self._choices,
        }
        worker = self._start_child("worker", [sys.executable, "-m", "app.cli", "worker"])
        serve = self._start_child(
            "serve", [sys.executable, "-m", "app.cli", "serve", "--host", HOST, "--port", str(port)]
        )
        self._await(serve, "serve", lambda: _answers(f"{self.api}/health/ready"))
        self._await(worker, "worker", lambda: "worker.ready" in self._log("worker").read_text())

    def _start_sandbox(self) -> str:
        port_file = self.logs / "stripe.port"
        argv = [sys.executable, "-m", "app.embedded.stripe_sandbox", "--port-file", str(port_file)]
        child = self._start_child("stripe", argv)
        self._await(child, "the Stripe sandbox", port_file.exists)
        return f"http://{HOST}:{port_file.read_text()}"

    def _start_child(self, name: str, argv: list[str]) -> subprocess.Popen[bytes]:
        child = spawn(argv, account=None, log=self._log(name), on_our_death=signal.SIGTERM, settings=self.environment)
        self._children.append(child)
        return child

    def _await(self, child: subprocess.Popen[bytes], name: str, ready: Callable[[], bool]) -> None:
        log = self._log(name if name in {"serve", "worker"} else "stripe")
        await_ready(child, ready, name=name, log=log)

    def _log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    async def _furnish(self) -> str:
        assert self._postgres is not None
        admin = await asyncpg.connect(self._postgres.dsn())
        await admin.execute(f"create database {DATABASE}")
        await admin.close()
        conn = await asyncpg.connect(self.dsn)
        try:
            await create_tables(conn)
            key = await create_publishable_key(conn)
        finally:
            await conn.close()
        await migrate(self.dsn)
        await grant_role(self.dsn, ROLE, password=self.secret)
        return key


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=1, trust_env=False).is_success
    except httpx.HTTPError:
        time.sleep(0.05)
        return False
