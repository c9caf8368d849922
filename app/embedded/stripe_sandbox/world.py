"""Everything behind one API key, and the keys side by side: tests with keys of their own never meet."""

import time
from collections import deque
from typing import Any

import msgspec

from app.embedded.stripe_sandbox.faults import Faults
from app.embedded.stripe_sandbox.idempotency import Results
from app.embedded.stripe_sandbox.ledger import Ledger
from app.embedded.stripe_sandbox.webhooks import Webhooks

REQUESTS_KEPT = 100_000


class Seen(msgspec.Struct, kw_only=True):
    """One API request and how it ended: ``status`` is ``None`` while, or when, nobody gets an answer."""

    request_id: str
    op: str
    method: str
    path: str
    object_id: str | None
    idempotency_key: str | None
    params: dict[str, Any]
    at: float = msgspec.field(default_factory=time.time)
    status: int | None = None
    error_code: str | None = None
    fault: str | None = None
    replayed: bool = False
    executed: bool = False


class World:
    """One account."""

    def __init__(self, latency: float) -> None:
        self._default_latency = latency
        self.webhooks = Webhooks()
        self.reset()

    def reset(self) -> None:
        """Forgets everything, faults and webhooks included."""
        self.webhooks.close()
        self.webhooks = Webhooks()
        self.ledger = Ledger(self.webhooks.announce)
        self.results = Results()
        self.faults = Faults()
        self.latency = self._default_latency
        self.requests: deque[Seen] = deque(maxlen=REQUESTS_KEPT)
        self.locked: set[str] = set()


class Worlds:
    """The accounts by secret key; one is there as soon as it is asked for."""

    def __init__(self, latency: float = 0.0) -> None:
        self._latency = latency
        self._worlds: dict[str, World] = {}

    def of(self, key: str) -> World:
        """The account of a secret key."""
        world = self._worlds.get(key)
        if world is None:
            world = self._worlds[key] = World(self._latency)
        return world

    def holding(self, intent_id: str) -> World | None:
        """The account that holds an intent, whose publishable key we take the caller's to be."""
        return next((world for world in self._worlds.values() if intent_id in world.ledger.intents), None)
