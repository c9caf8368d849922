"""Stripe as an actor meets it: the sandbox's own code without sockets, a point before each request and each answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import msgspec
import stripe

from app.domain.findings import IntentFacts
from app.embedded.stripe_sandbox.api import Api, Reply, Request
from app.embedded.stripe_sandbox.facts import facts_of
from app.embedded.stripe_sandbox.world import World, Worlds
from tests.races.explorer.plans import Fate
from tests.races.explorer.postgres_seam import Wire

KEY: Final = "sk_test_explorer"
_VERBS: Final = {"GET": "look", "cancel": "void"}


@dataclass
class Call:
    """One request that was about to change something. ``status`` stays ``None`` where nobody saw an answer."""

    letter: str
    verb: str
    intent_id: str
    key: str
    in_transaction: bool = False
    status: int | None = None
    seen: bool = False


@dataclass
class Account:
    """A Stripe account of one schedule's own."""

    calls: list[Call] = field(default_factory=list)
    worlds: Worlds = field(default_factory=Worlds)

    def __post_init__(self) -> None:
        self._api = Api(self.worlds)

    @property
    def world(self) -> World:
        """What it holds."""
        return self.worlds.of(KEY)

    def ask(self, method: str, path: str, headers: Mapping[str, str], body: bytes = b"", query: str = "") -> Reply:
        """One request, done at once."""
        sent = {name.lower(): value for name, value in headers.items()}
        reply = self._api.answer(Request(method, path, query, sent, body))
        assert isinstance(reply, Reply)
        return reply

    def post(self, path: str, form: Mapping[str, str], key: str | None = None) -> dict[str, Any]:
        """What a test or Medusa asks for; the answer as JSON, an error's too."""
        headers = {"Authorization": f"Bearer {KEY}"} | ({"Idempotency-Key": key} if key else {})
        return dict(msgspec.json.decode(self.ask("POST", path, headers, urlencode(form).encode()).body))

    def facts(self) -> dict[str, IntentFacts]:
        """The truth about its intents."""
        return facts_of(dict(self.world.ledger.lines()))


class StripeLine(stripe.HTTPClient):
    """The HTTP client under the real gateway."""

    name = "in-process"

    def __init__(self, wire: Wire) -> None:
        super().__init__()
        self._wire = wire
        self.account = Account()

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: Any = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        """See ``stripe.HTTPClient``."""
        parts = urlsplit(url)
        body = post_data.encode() if isinstance(post_data, str) else post_data or b""
        reply = await self.send(method.upper(), parts.path, headers, body, parts.query)
        if reply is None:
            dropped: Any = stripe.APIConnectionError  # untyped
            raise dropped("the line dropped", should_retry=False)
        return reply.body, reply.status, reply.headers

    async def send(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes = b"", query: str = ""
    ) -> Reply | None:
        """A request with its two points; ``None`` when the line dropped at one of them."""
        verb, intent_id = _about(method, path, body)
        lower = {name.lower(): value for name, value in headers.items()}
        actor = self._wire.actor
        call = Call(actor.letter if actor else "-", verb, intent_id, lower.get("idempotency-key", ""))
        call.in_transaction = self._wire.open is not None
        self.account.calls.append(call)
        if await self._wire.step(f"stripe: {verb}") in _DROPPED:
            return None
        reply = self.account.ask(method, path, headers, body, query)
        call.status = reply.status
        if await self._wire.step(f"stripe: answer {reply.status} to {verb}") in _DROPPED:
            return None
        call.seen = True
        return reply


_DROPPED: Final = {Fate.DROPPED, Fate.UNANSWERED}


def _about(method: str, path: str, body: bytes) -> tuple[str, str]:
    _, _, resource, *rest = path.split("/")
    if resource == "refunds":
        form = dict(pair.split("=") for pair in body.decode().split("&"))
        return "refund", form.get("payment_intent", "")
    if method == "GET":
        return "look", rest[0]
    return _VERBS.get(rest[1], rest[1]), rest[0]
