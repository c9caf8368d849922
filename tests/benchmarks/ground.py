"""What is measured: real processes on durable servers, and shops of thousands of orders."""

from __future__ import annotations

import asyncio
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
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
from app.store.migrate import migrate
from plugins.medusa_bridge import FUNCTIONS, grant_role

ROLE: Final = "grace"
KINDS: Final = 200
"""Kinds of stock that the orders of a shop share."""
AT_ONCE: Final = 50_000
"""Orders a transaction."""
BULK: Final = (Path(__file__).parent / "sql" / "bulk_orders.sql").read_text()
CHOICES: Final = {
    "VOID_WAIT_SECONDS": "0",
    "RATE_LIMIT_PER_ORDER": "0",
    "RATE_LIMIT_PER_ADDRESS": "0",
    "LOG_LEVEL": "INFO",
    "MEDUSA_LOCKING": "redis",
}


class Ground:
    """Postgres (``fsync`` and ``synchronous_commit`` on), Valkey, a Stripe sandbox; shops and processes as asked for.

    Use it from the main thread: all of it ends with that thread.
    """

    def __init__(self) -> None:
        self.secret = secrets.token_urlsafe(32)
        self.stripe_key = f"sk_test_{secrets.token_hex(12)}"
        self._children: list[subprocess.Popen[bytes]] = []
        self._scratch: Held | None = None
        self._redis_database = 0

    def __enter__(self) -> Self:
        self._scratch = scratch("benchmarks", None)
        try:
            self.postgres = Postgres.start(durable=True, settings={"shared_preload_libraries": "pg_stat_statements"})
            self.valkey = Valkey.start()
            port_file = self.logs / "stripe.port"
            argv = [sys.executable, "-m", "app.embedded.stripe_sandbox", "--port-file", str(port_file)]
            self._stripe = self.spawn("stripe", argv, {})
            await_ready(self._stripe, port_file.exists, name="the Stripe sandbox", log=self.logs / "stripe.log")
            self.stripe_url = f"http://{HOST}:{port_file.read_text()}"
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for child in reversed(self._children):
            end(child, signal.SIGTERM, patience=5)
        for server in (getattr(self, "valkey", None), getattr(self, "postgres", None)):
            if server is not None:
                server.stop()
        if self._scratch is not None:
            self._scratch.release(remove=True)

    @property
    def logs(self) -> Path:
        """Where the processes write, as long as the ground stands."""
        assert self._scratch is not None
        return self._scratch.directory

    @property
    def sandbox(self) -> Sandbox:
        """The Stripe account. One per event loop."""
        return Sandbox(self.stripe_url, self.stripe_key)

    def spawn(self, name: str, argv: Sequence[str], settings: dict[str, str]) -> subprocess.Popen[bytes]:
        """A process that ends with us."""
        log = self.logs / f"{name}.log"
        child = spawn(list(argv), account=None, log=log, on_our_death=signal.SIGKILL, settings=settings)
        self._children.append(child)
        return child

    def stop(self, *children: subprocess.Popen[bytes]) -> None:
        """End processes as an operator would."""
        for child in children:
            child.send_signal(signal.SIGTERM)
        for child in children:
            end(child, signal.SIGTERM, patience=40)
            self._children.remove(child)

    def set_latency(self, seconds: float) -> None:
        """How long Stripe takes from now on."""
        answer = httpx.post(
            f"{self.stripe_url}/_sandbox/latency",
            json={"seconds": seconds},
            headers={"Authorization": f"Bearer {self.stripe_key}"},
            trust_env=False,
        )
        answer.raise_for_status()

    def open_shop(self, name: str) -> Shop:
        """An empty shop in a database of its own, with a Redis of its own."""
        asyncio.run(self._furnish(name))
        self._redis_database += 2
        with redis.Redis.from_url(self.valkey.url(self._redis_database)) as client:
            client.flushdb()
        return Shop(self, name, self._redis_database)

    async def _furnish(self, name: str) -> None:
        admin = await asyncpg.connect(self.postgres.dsn())
        await admin.execute(f"create database {name}")
        await admin.close()
        dsn = self.postgres.dsn(name)
        conn = await asyncpg.connect(dsn)
        await create_tables(conn)
        await conn.execute(BULK)
        await conn.execute("create extension pg_stat_statements")
        await conn.execute("select bench.stock($1)", KINDS)
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            value = await conn.fetchval(f"show {setting}")
            assert value == "on", f"{setting} is {value}: a real shop has it on"
        await conn.close()
        await migrate(dsn, FUNCTIONS)
        await grant_role(dsn, ROLE, password=self.secret)


class Shop:
    """One database with its processes."""

    def __init__(self, ground: Ground, name: str, redis_database: int) -> None:
        self.ground = ground
        self.name = name
        self.dsn = ground.postgres.dsn(name)
        self.publishable_key = asyncio.run(self._key())
        self._numbers = 0
        self._processes = 0
        self.environment = {
            "DATABASE_URL": ground.postgres.dsn(name, user=ROLE, password=ground.secret),
            "REDIS_URL": ground.valkey.url(redis_database),
            "MEDUSA_REDIS_URL": ground.valkey.url(redis_database + 1),
            "STRIPE_API_KEY": ground.stripe_key,
            "STRIPE_API_BASE": ground.stripe_url,
            "MODIFICATION_TOKEN_SECRET": ground.secret,
            **CHOICES,
        }

    def serve(self, *, processes: int = 1, **choices: str) -> tuple[subprocess.Popen[bytes], int]:
        """``medusa-grace serve``, ready, and its port."""
        port = free_port()
        self._processes += 1
        name = f"{self.name}-serve-{self._processes}"
        argv = [sys.executable, "-m", "app.cli", "serve", "--host", HOST, "--port", str(port)]
        argv += ["--processes", str(processes)]
        child = self.ground.spawn(name, argv, {**self.environment, **choices})
        await_ready(child, lambda: _answers(port), name=name, log=self.ground.logs / f"{name}.log")
        return child, port

    def work(self, number: int = 1, **choices: str) -> list[subprocess.Popen[bytes]]:
        """So many ``medusa-grace worker``, ready."""
        children = []
        for _ in range(number):
            self._processes += 1
            name = f"{self.name}-worker-{self._processes}"
            argv = [sys.executable, "-m", "app.cli", "worker"]
            child = self.ground.spawn(name, argv, {**self.environment, **choices})
            children.append((child, name))
        for child, name in children:
            log = self.ground.logs / f"{name}.log"
            await_ready(child, lambda log=log: "worker.ready" in log.read_text(), name=name, log=log)
        return [child for child, _ in children]

    def place(self, number: int, *, held_at_stripe: bool = False, ago_seconds: float = 0) -> list[str]:
        """So many orders, each with a hold of 29.7381 EUR. Their ids, oldest first."""
        intents = asyncio.run(_holds(self.ground.sandbox, number)) if held_at_stripe else None
        return asyncio.run(self._place(number, intents, ago_seconds))

    def remember(self, number: int) -> None:
        """So many orders of a month ago, captured and done with."""
        asyncio.run(self._place(number, None, 30 * 86_400, settled=True))

    async def _place(
        self, number: int, intents: list[str] | None, ago_seconds: float, *, settled: bool = False
    ) -> list[str]:
        conn = await asyncpg.connect(self.dsn)
        try:
            first, self._numbers = self._numbers + 1, self._numbers + number
            for low in range(first, self._numbers + 1, AT_ONCE):
                high = min(low + AT_ONCE - 1, self._numbers)
                part = None if intents is None else intents[low - first : high - first + 1]
                ago = f"{ago_seconds + (self._numbers - high) / 1000} seconds"
                async with conn.transaction():
                    place = "select bench.place($1, $2, $3::text::interval, $4, $5)"
                    await conn.execute(place, low, high, ago, KINDS, part)
                    if settled:
                        await conn.execute("select bench.settle($1, $2, $3::text::interval)", low, high, ago)
            await conn.execute("vacuum analyze")
            rows = await conn.fetch('select id from "order" order by id desc limit $1', number)
            return [row["id"] for row in reversed(rows)]
        finally:
            await conn.close()

    async def _key(self) -> str:
        conn = await asyncpg.connect(self.dsn)
        try:
            return await create_publishable_key(conn)
        finally:
            await conn.close()


async def _holds(sandbox: Sandbox, number: int) -> list[str]:
    """Intents at the sandbox, through kept connections."""
    form = {"amount": "2974", "currency": "eur", "capture_method": "manual", "confirm": "true"}
    form["payment_method"] = "pm_card_visa"
    headers = {"Authorization": f"Bearer {sandbox.key}"}
    intents: list[str] = []
    async with httpx.AsyncClient(base_url=sandbox.url, headers=headers, timeout=60, trust_env=False) as http:

        async def some(count: int) -> None:
            for _ in range(count):
                answer = await http.post("/v1/payment_intents", data=form)
                intents.append(answer.json()["id"])

        share, rest = divmod(number, 8)
        await asyncio.gather(*(some(share + (lane < rest)) for lane in range(8)))
    return intents


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://{HOST}:{port}/health/live", timeout=1, trust_env=False).is_success
    except httpx.HTTPError:
        time.sleep(0.05)
        return False
