"""One shop of several that share a Redis: its database, its Stripe account, its sidecar processes and their names."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

import asyncpg

from app.embedded.hasten import hasten_captures
from app.embedded.postgres import Postgres
from app.embedded.processes import HOST, free_port
from app.embedded.shop import create_publishable_key, create_tables
from app.embedded.stripe_sandbox.client import Sandbox
from app.embedded.valkey import Valkey
from app.roles import grant_role
from app.settings_table import LEAST_CAPTURE_DELAY
from app.store.migrate import migrate
from tests.chaos.records import DELAY_SECONDS, GRACE_SECONDS

CHOICES: Final = {
    "GRACE_PERIOD_SECONDS": str(GRACE_SECONDS),
    "VOID_WAIT_SECONDS": "1",
    "RATE_LIMIT_PER_ORDER": "0",
    "RATE_LIMIT_PER_ADDRESS": "0",
}
WORKERS_EACH: Final = 2


@dataclass
class Installation:
    """Everything of one shop. The servers are shared by all of them."""

    number: int
    postgres: Postgres
    valkey: Valkey
    stripe: str
    """Where the sandbox listens."""
    port: int = field(default_factory=free_port)
    secret: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    stripe_key: str = field(default_factory=lambda: f"sk_test_{secrets.token_hex(12)}")
    publishable_key: str = ""

    @property
    def serve(self) -> str:
        """The API process."""
        return f"serve-{self.number}"

    @property
    def workers(self) -> Sequence[str]:
        """The worker processes."""
        return tuple(f"worker-{self.number}-{worker}" for worker in range(1, WORKERS_EACH + 1))

    @property
    def processes(self) -> Sequence[str]:
        """All of them."""
        return (self.serve, *self.workers)

    @property
    def api(self) -> str:
        """Where the API listens, or will again."""
        return f"http://{HOST}:{self.port}"

    @property
    def dsn(self) -> str:
        """The shop's database."""
        return self.postgres.dsn(self._database)

    @property
    def sandbox(self) -> Sandbox:
        """The shop's Stripe account. One per event loop."""
        return Sandbox(self.stripe, self.stripe_key)

    @property
    def settings(self) -> dict[str, str]:
        """The environment of the processes. Redis and its database are the same for all installations."""
        return {
            "DATABASE_URL": self.postgres.dsn(self._database, user=self._role, password=self.secret),
            "REDIS_URL": self.valkey.url(0),
            "MEDUSA_REDIS_URL": self.valkey.url(1),
            "MEDUSA_LOCKING": "redis",
            "STRIPE_API_KEY": self.stripe_key,
            "STRIPE_API_BASE": self.stripe,
            "MODIFICATION_TOKEN_SECRET": self.secret,
            **CHOICES,
        }

    def furnish(self) -> None:
        """Create the shop's database with its tables, its publishable key and its role."""
        self.publishable_key = asyncio.run(self._furnish())

    async def _furnish(self) -> str:
        admin = await asyncpg.connect(self.postgres.dsn())
        await admin.execute(f"create database {self._database}")
        await admin.close()
        conn = await asyncpg.connect(self.dsn)
        try:
            await create_tables(conn)
            key = await create_publishable_key(conn)
        finally:
            await conn.close()
        await migrate(self.dsn)
        conn = await asyncpg.connect(self.dsn)
        await hasten_captures(conn, timedelta(seconds=float(LEAST_CAPTURE_DELAY) - DELAY_SECONDS))
        await conn.close()
        await grant_role(self.dsn, self._role, password=self.secret)
        return key

    @property
    def _database(self) -> str:
        return f"shop_{self.number}"

    @property
    def _role(self) -> str:
        return f"grace_{self.number}"
