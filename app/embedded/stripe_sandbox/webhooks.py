"""Events on their way to the shop: signed, sometimes twice, not always in order (docs.stripe.com/webhooks)."""

import asyncio
import hashlib
import hmac
import random
import time
from collections.abc import Coroutine
from enum import StrEnum
from typing import Any

import httpx
import msgspec

from app.embedded.stripe_sandbox.ledger import encode
from app.embedded.stripe_sandbox.objects import Object, new_id

ATTEMPTS = 4
FIRST_RETRY_SECONDS = 0.5
ANSWER_SECONDS = 10.0


class Order(StrEnum):
    """In which order held events are released."""

    CREATED = "created"
    REVERSED = "reversed"
    SHUFFLED = "shuffled"


class Endpoint(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Where events go, and which (docs.stripe.com/api/webhook_endpoints/object)."""

    url: str
    secret: str
    events: list[str] = msgspec.field(default_factory=lambda: ["*"])
    id: str = msgspec.field(default_factory=lambda: new_id("we_1"))

    def wants(self, kind: str) -> bool:
        """Whether this kind of event was asked for."""
        return "*" in self.events or kind in self.events


class Delivery(msgspec.Struct, kw_only=True):
    """One event to one endpoint: ``status`` is what the endpoint answered at last, or ``None``."""

    event_id: str
    type: str
    endpoint: str
    attempts: int = 0
    status: int | None = None


def signature(secret: str, body: bytes, at: int) -> str:
    """The ``Stripe-Signature`` header (docs.stripe.com/webhooks/signature, scheme v1)."""
    signed = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={signed}"


class Webhooks:
    """Delivers events to the endpoints of one account, at least once and with retries.

    docs.stripe.com/webhooks#behaviors; the retries come after fractions of a second instead of hours.
    """

    def __init__(self) -> None:
        self.endpoints: list[Endpoint] = []
        self.deliveries: list[Delivery] = []
        self.copies = 1
        self.held: list[Object] | None = None
        self._queues: dict[str, asyncio.Queue[tuple[Delivery, bytes]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._client: httpx.AsyncClient | None = None

    def announce(self, event: Object) -> None:
        """Sends an event to whoever wants it, or holds it."""
        if not self.endpoints:
            return
        if self.held is not None:
            self.held.append(event)
            return
        self._send(event)

    def hold(self) -> None:
        """Holds every event from now on."""
        self.held = self.held or []

    def release(self, order: Order) -> int:
        """Sends what was held, in this order, and holds no more."""
        events, self.held = self.held or [], None
        match order:
            case Order.REVERSED:
                events.reverse()
            case Order.SHUFFLED:
                random.shuffle(events)
            case Order.CREATED:
                pass
        for event in events:
            self._send(event)
        return len(events)

    def close(self) -> None:
        """Stops delivering and forgets the endpoints."""
        for task in self._tasks:
            task.cancel()
        self.endpoints.clear()
        self._queues.clear()
        self.held, self.copies = None, 1

    def _send(self, event: Object) -> None:
        takers = [endpoint for endpoint in self.endpoints if endpoint.wants(event["type"])]
        body = encode({**event, "pending_webhooks": len(takers)})
        for endpoint in takers:
            if endpoint.id not in self._queues:
                self._queues[endpoint.id] = asyncio.Queue()
                self._start(self._deliver_in_turn(endpoint, self._queues[endpoint.id]))
            for _ in range(self.copies):
                delivery = Delivery(event_id=event["id"], type=event["type"], endpoint=endpoint.id)
                self.deliveries.append(delivery)
                self._queues[endpoint.id].put_nowait((delivery, body))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver_in_turn(self, endpoint: Endpoint, queue: "asyncio.Queue[tuple[Delivery, bytes]]") -> None:
        while True:
            delivery, body = await queue.get()
            if not await self._attempt(endpoint, delivery, body):
                self._start(self._retry(endpoint, delivery, body))

    async def _retry(self, endpoint: Endpoint, delivery: Delivery, body: bytes) -> None:
        for attempt in range(ATTEMPTS - 1):
            await asyncio.sleep(FIRST_RETRY_SECONDS * 2**attempt)
            if await self._attempt(endpoint, delivery, body):
                return

    async def _attempt(self, endpoint: Endpoint, delivery: Delivery, body: bytes) -> bool:
        delivery.attempts += 1
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Stripe-Signature": signature(endpoint.secret, body, int(time.time())),
            "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
        }
        if self._client is None:
            self._client = httpx.AsyncClient(timeout=ANSWER_SECONDS, trust_env=False)
        try:
            answer = await self._client.post(endpoint.url, content=body, headers=headers)
        except httpx.HTTPError:
            delivery.status = None
            return False
        delivery.status = answer.status_code
        return answer.is_success
