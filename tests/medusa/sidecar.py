"""The sidecar as it is deployed: one ``serve`` and several ``worker`` processes beside Medusa."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import jwt

from app.embedded.processes import HOST, free_port
from tests.world import ROLE, ROLE_PASSWORD, as_role

from .lab import EVENTS_PREFIX, EVENTS_QUEUE, JWT_SECRET, LOCK_NAMESPACE, STORE_CORS, Lab
from .processes import Child, environment

TOKEN_SECRET = "made-up-modification-token-secret-of-the-tests"

HASTEN = """
import asyncio, sys
from datetime import timedelta
import asyncpg
from app.embedded.hasten import hasten_captures

async def main():
    conn = await asyncpg.connect(sys.argv[1])
    await hasten_captures(conn, timedelta(seconds=30))

asyncio.run(main())
"""
"""Captures are due at the very end of the grace period: the tests on a real Medusa have enough to wait for."""


@dataclass(frozen=True)
class Sidecar:
    """A running sidecar and a client of its store route."""

    url: str
    lab: Lab
    children: tuple[Child, ...]

    async def cancel(self, order_id: str) -> httpx.Response:
        """A shopper's cancel, with the token from the confirmation mail."""
        return await self.send(order_id, **{"x-modification-token": token(order_id)})

    async def send(self, order_id: str, **headers: str) -> httpx.Response:
        """A cancel with these headers and the storefront's publishable key."""
        headers = {"x-publishable-api-key": self.lab.shop.publishable_key} | headers
        return await self.request("POST", f"/store/orders/{order_id}/cancel", headers=headers)

    async def request(self, method: str, path: str, **kwargs: Any) -> httpx.Response:
        """Any request, as it is given."""
        async with httpx.AsyncClient(base_url=self.url, timeout=30) as client:
            return await client.request(method, path, **kwargs)

    def logs(self) -> str:
        """The end of each process's log."""
        return "\n".join(child.tail(60) for child in self.children)


def token(order_id: str, **claims: Any) -> str:
    """What the shop mails to the shopper: the right to change one order for a while."""
    return jwt.encode({"order_id": order_id, "exp": int(time.time()) + 3600} | claims, TOKEN_SECRET, "HS256")


@contextmanager
def running_sidecar(
    lab: Lab, *, redis: str, directory: Path, workers: int = 2, settings: Mapping[str, str]
) -> Iterator[Sidecar]:
    """Start it and wait until it is ready. ``redis`` is its own; ``settings`` override the environment below."""
    directory.mkdir(parents=True, exist_ok=True)
    env = environment(**{**_settings(lab, redis), **settings})
    program = str(Path(sys.executable).with_name("medusa-grace"))
    granting = env | {"MIGRATION_DATABASE_URL": lab.surroundings.database, "GRACE_ROLE_PASSWORD": ROLE_PASSWORD}
    migrate = [program, "migrate", "--grants", ROLE]
    Child("migrate", migrate, env=granting, log=directory / "migrate.log").finish(seconds=30)
    hasten = [sys.executable, "-c", HASTEN, lab.surroundings.database]
    Child("hasten", hasten, env=env, log=directory / "hasten.log", cwd=Path(__file__).parents[2]).finish(seconds=30)
    url = f"http://{HOST}:{(port := free_port())}"
    children: list[Child] = []

    def start(name: str, *arguments: str) -> None:
        log = directory / f"{name}.log"
        children.append(Child(name, [program, *arguments], env=env, log=log, on_our_death=signal.SIGTERM))

    try:
        start("serve", "serve", "--host", HOST, "--port", str(port))
        for number in range(workers):
            start(f"worker-{number}", "worker")
        children[0].await_ok(f"{url}/health/ready", seconds=30)
        for worker in children[1:]:
            worker.await_(partial(worker.has_said, "worker.ready"), seconds=30, what="worker.ready")
        yield Sidecar(url, lab, tuple(children))
    finally:
        codes = {child.name: child.stop() for child in reversed(children)}
    assert not any(codes.values()), f"a SIGTERM should end these with 0: {codes}"


def _settings(lab: Lab, redis: str) -> Mapping[str, str]:
    return {
        "DATABASE_URL": as_role(lab.surroundings.database),
        "REDIS_URL": redis,
        "STRIPE_API_KEY": lab.surroundings.stripe_key,
        "STRIPE_API_BASE": lab.surroundings.stripe_url,
        "MODIFICATION_TOKEN_SECRET": TOKEN_SECRET,
        "MEDUSA_JWT_SECRET": JWT_SECRET,
        "MEDUSA_BACKEND_URL": lab.url,
        "MEDUSA_REDIS_URL": lab.surroundings.redis,
        "MEDUSA_SECRET_API_KEY": lab.shop.secret_key,
        "MEDUSA_LOCKING": "redis",
        "MEDUSA_EVENTS": "redis",
        "MEDUSA_EVENTS_QUEUE": EVENTS_QUEUE,
        "MEDUSA_EVENTS_PREFIX": EVENTS_PREFIX,
        "MEDUSA_LOCK_NAMESPACE": LOCK_NAMESPACE,
        "STORE_CORS": STORE_CORS,
        "GRACE_PERIOD_SECONDS": "3600",
        "VOID_WAIT_SECONDS": "5",
    }
