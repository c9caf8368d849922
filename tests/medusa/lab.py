"""A real Medusa on loopback: migrated, seeded, and writing every event to a file."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.embedded.processes import HOST, free_port

from .admin import build_admin, install_widget, packed_widget
from .packages import BACKEND
from .processes import Child, environment
from .seed import ADMIN, Shop, seed

# Long enough for HS256 not to be called weak.
JWT_SECRET = "made-up-jwt-secret-of-the-medusa-under-test"
# Not Medusa's own names: what goes to a constant of ours would be seen by no subscriber, and wait for no lock.
EVENTS_QUEUE, EVENTS_PREFIX, LOCK_NAMESPACE = "shop-events", "{shop}", "shop:locks:"
STORE_CORS = r"http://storefront.test,/\.preview\.test$/i,/^http:\/\/127\.0\.0\.1:\d+$/"


@dataclass(frozen=True)
class Surroundings:
    """What a Medusa stands on: its database, its Redis, and its Stripe."""

    database: str
    redis: str
    stripe_url: str
    stripe_key: str


@dataclass
class Lab:
    """A running Medusa."""

    surroundings: Surroundings
    shop: Shop
    directory: Path
    events_file: Path
    process: Child

    @property
    def url(self) -> str:
        """Where Medusa answers."""
        return self.shop.url

    def events(self, name: str | None = None) -> list[dict[str, Any]]:
        """The events, or those of that name, that Medusa's subscriber has received so far."""
        written, _, _half = self.events_file.read_text().rpartition("\n")
        events = map(json.loads, written.splitlines())
        return [event for event in events if name in (None, event["name"])]


def start_lab(
    surroundings: Surroundings, packages: Path, directory: Path, say: Callable[[str], None], *, admin: bool = False
) -> Lab:
    """Migrate, make the admin user, start and seed. The database must exist and be empty.

    With ``admin``, its dashboard is built and served as well, with our widget in it.
    """
    backend = directory / "backend"
    shutil.copytree(BACKEND, backend)
    (backend / "node_modules").symlink_to(packages)
    events = directory / "events.jsonl"
    events.touch()
    env = environment(
        NODE_ENV="production",
        MEDUSA_DISABLE_TELEMETRY="true",
        DATABASE_URL=surroundings.database,
        REDIS_URL=surroundings.redis,
        STRIPE_API_KEY=surroundings.stripe_key,
        STRIPE_API_BASE=surroundings.stripe_url,
        STORE_CORS=STORE_CORS,
        JWT_SECRET=JWT_SECRET,
        COOKIE_SECRET="made-up-cookie-secret-of-the-medusa-under-test",
        EVENTS_FILE=str(events),
        EVENTS_QUEUE=EVENTS_QUEUE,
        EVENTS_PREFIX=EVENTS_PREFIX,
        LOCK_NAMESPACE=LOCK_NAMESPACE,
        ADMIN="on" if admin else "off",
    )
    if admin:
        install_widget(packed_widget(packages, directory, say), backend)
        build_admin(backend, env, directory / "build.log", say)

    def medusa(*arguments: str) -> Child:
        argv = ["node", "node_modules/@medusajs/cli/cli.js", *arguments]
        return Child(f"medusa {arguments[0]}", argv, env=env, log=directory / "medusa.log", cwd=backend)

    say("medusa: migrate")
    medusa("db:migrate", "--skip-scripts").finish(seconds=180)
    medusa("user", "-e", ADMIN[0], "-p", ADMIN[1]).finish(seconds=60)
    say("medusa: start and seed")
    port = free_port()
    process = medusa("start", "--host", HOST, "--port", str(port))
    try:
        process.await_ok(f"http://{HOST}:{port}/health", seconds=90)
        shop = seed(f"http://{HOST}:{port}")
    except BaseException:
        process.stop()
        raise
    return Lab(surroundings, shop, directory, events, process)
