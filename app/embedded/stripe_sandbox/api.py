"""One API request from its headers to its answer: key, idempotency, faults, locks, work."""

import asyncio
import base64
import binascii
import re
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from app.embedded.stripe_sandbox import errors
from app.embedded.stripe_sandbox.errors import StripeError
from app.embedded.stripe_sandbox.faults import Action, Fault
from app.embedded.stripe_sandbox.form import Params, parse_form
from app.embedded.stripe_sandbox.ledger import encode
from app.embedded.stripe_sandbox.objects import API_VERSION, new_id
from app.embedded.stripe_sandbox.routes import Operation, route
from app.embedded.stripe_sandbox.world import Seen, World, Worlds


@dataclass(slots=True)
class Request:
    """An HTTP request; header names are in lower case."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes


@dataclass(slots=True)
class Reply:
    """An HTTP answer."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Hang:
    """No answer, and the connection is closed after this long."""

    seconds: float


@dataclass(slots=True)
class Reset:
    """No answer, and the connection is reset."""


Outcome = Reply | Hang | Reset

_KEY = re.compile(r"(sk|rk|pk)_test_[A-Za-z0-9_]+")
"""Stripe tells keys of live mode from those of test mode, and the sandbox has no live mode."""

BROWSER_OPERATIONS = frozenset({"payment_intents.retrieve", "payment_intents.confirm"})
BROWSER_HIDES = frozenset(
    {"amount_capturable", "amount_received", "application", "customer", "latest_charge", "metadata", "transfer_data"}
)
EXPANDABLE = frozenset(
    {"balance_transaction", "charge", "customer", "data", "invoice", "last_payment_error", "latest_charge"}
    | {"on_behalf_of", "payment_intent", "payment_method", "refunds", "review"}
)


@dataclass(slots=True)
class Call:
    """A request that was understood."""

    request: Request
    world: World
    operation: Operation
    object_id: str
    params: Params
    expand: list[str]
    key: str | None
    from_browser: bool
    seen: Seen
    fault: Fault | None = None

    @property
    def subjects(self) -> set[str]:
        """The ids of what the request is about."""
        named = (self.object_id, self.params.get("payment_intent"), self.params.get("charge"))
        return {one for one in named if isinstance(one, str) and one}


def api_key(request: Request) -> str:
    """The caller's key: Bearer, or the user name of Basic (docs.stripe.com/api/authentication)."""
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    match scheme.lower():
        case "bearer":
            key = given.strip()
        case "basic":
            try:
                key = base64.b64decode(given).decode().partition(":")[0]
            except (binascii.Error, UnicodeDecodeError):
                key = ""
        case _:
            key = ""
    if not key:
        raise errors.no_key()
    if _KEY.fullmatch(key) is None:
        raise errors.bad_key(key)
    return key


class Api:
    """Answers what is under /v1/. At once where nothing has to be waited for, else by a coroutine."""

    def __init__(self, worlds: Worlds) -> None:
        self._worlds = worlds

    def answer(self, request: Request) -> Outcome | Coroutine[Any, Any, Outcome]:
        """What to do with the connection that the request came on."""
        request_id = new_id("req_")
        try:
            call = self._understand(request, request_id)
        except StripeError as refusal:
            return _reply(request, request_id, refusal.status, encode(refusal.body(request_id)), refusal.headers)
        call.world.requests.append(call.seen)
        try:
            return self._admit(call)
        except StripeError as refusal:
            return self._refuse(call, refusal)

    def _understand(self, request: Request, request_id: str) -> Call:
        key = api_key(request)
        found = route(request.method, request.path)
        if found is None:
            raise StripeError(404, f"Unrecognized request URL ({request.method}: {request.path}).", saved=False)
        operation, object_id = found
        params = parse_form(request.body.decode(errors="replace") if request.method == "POST" else request.query)
        expand = _expansions(params.pop("expand", []))
        secret = params.pop("client_secret", None)
        from_browser = key.startswith("pk_")
        world = self._browser_world(operation, object_id, secret) if from_browser else self._worlds.of(key)
        idempotency_key = request.headers.get("idempotency-key") if request.method == "POST" else None
        seen = Seen(
            request_id=request_id,
            op=operation.name,
            method=request.method,
            path=request.path,
            object_id=object_id or params.get("payment_intent") or params.get("charge"),
            idempotency_key=idempotency_key,
            params=params,
        )
        return Call(request, world, operation, object_id, params, expand, idempotency_key, from_browser, seen)

    def _browser_world(self, operation: Operation, intent_id: str, secret: str | None) -> World:
        """A publishable key needs the intent's client secret, and may do little (docs.stripe.com/keys)."""
        if operation.name not in BROWSER_OPERATIONS:
            raise errors.secret_key_required()
        world = self._worlds.holding(intent_id)
        if world is None:
            raise errors.missing("payment_intent", intent_id, "intent")
        if secret != world.ledger.intents[intent_id]["client_secret"]:
            raise errors.invalid("The client_secret is not that of this PaymentIntent.", "client_secret")
        return world

    def _admit(self, call: Call) -> Outcome | Coroutine[Any, Any, Outcome]:
        world, seen = call.world, call.seen
        now = world.ledger.now()
        saved = world.results.find(call.key, call.request.path, call.params, now) if call.key else None
        call.fault = world.faults.pick(call.operation.name, call.subjects, replay=saved is not None)
        if call.fault:
            seen.fault = call.fault.action
            match call.fault.action:
                case Action.ERROR:
                    raise call.fault.error()
                case Action.TIMEOUT:
                    return Hang(call.fault.hang_seconds)
                case Action.RESET:
                    return Reset()
        if saved:
            seen.replayed = True
            headers = {"Idempotent-Replayed": "true", "Original-Request": saved.request_id}
            return self._wait(call, lambda: self._deliver(call, saved.status, saved.body or b"", headers))
        # docs.stripe.com/rate-limits#object-lock-timeouts: writers wait for each other, and only so long
        if call.request.method == "POST" and not world.locked.isdisjoint(call.subjects):
            raise errors.lock_timeout()
        if call.key:
            world.results.begin(call.key, call.request.path, call.params, seen.request_id, now)
        return self._wait(call, lambda: self._work(call))

    def _wait(self, call: Call, then: Callable[[], Outcome]) -> Outcome | Coroutine[Any, Any, Outcome]:
        held = call.fault.delay_seconds if call.fault and call.fault.action is Action.DELAY else 0.0
        if call.world.latency or held:
            return self._after(call, held, then)
        return then()

    async def _after(self, call: Call, held: float, then: Callable[[], Outcome]) -> Outcome:
        locked = call.world.locked
        subjects = call.subjects if held and call.request.method == "POST" else set()
        locked |= subjects
        try:
            await asyncio.sleep(call.world.latency + held)
        finally:
            locked -= subjects
        return then()

    def _work(self, call: Call) -> Outcome:
        """Does the work, unless a fault stands in its place, and keeps the answer where Stripe would."""
        action = call.fault.action if call.fault else None
        body, refusal = (b"", None) if action is Action.ERROR_SAVED else self._execute(call)
        if call.fault and action in (Action.ERROR_SAVED, Action.ERROR_AFTER):
            refusal = call.fault.error()
        if refusal:
            body = encode(refusal.body(call.seen.request_id))
        if call.key and (refusal is None or refusal.saved):
            call.world.results.save(call.key, refusal.status if refusal else 200, body)
        elif call.key:
            call.world.results.forget(call.key)
        return self._refuse(call, refusal, body) if refusal else self._deliver(call, 200, body)

    def _execute(self, call: Call) -> tuple[bytes, StripeError | None]:
        ledger = call.world.ledger
        ledger.cause = (call.seen.request_id, call.key)
        call.seen.executed = True
        try:
            found = call.operation.run(ledger, call.object_id, call.params)
            shown = ledger.expanded(found, call.expand)
        except StripeError as refusal:
            return b"", refusal
        finally:
            ledger.cause = (None, None)
        call.seen.object_id = call.seen.object_id or found.get("id")
        if call.from_browser:
            # docs.stripe.com/api/payment_intents/retrieve: a publishable key sees a part of the intent
            shown = {name: shown[name] for name in shown if name not in BROWSER_HIDES}
        return encode(shown), None

    def _refuse(self, call: Call, refusal: StripeError, body: bytes = b"") -> Outcome:
        call.seen.error_code = refusal.code
        body = body or encode(refusal.body(call.seen.request_id))
        return self._deliver(call, refusal.status, body, refusal.headers)

    def _deliver(self, call: Call, status: int, body: bytes, headers: dict[str, str] | None = None) -> Outcome:
        if call.fault and call.fault.action is Action.TIMEOUT_AFTER:
            return Hang(call.fault.hang_seconds)
        if call.fault and call.fault.action is Action.DROP_AFTER:
            return Reset()
        call.seen.status = status
        return _reply(call.request, call.seen.request_id, status, body, headers)


def _expansions(given: Any) -> list[str]:
    """Checked before anything is done (docs.stripe.com/api/expanding_objects)."""
    paths = given if isinstance(given, list) else [given]
    for path in paths:
        if not isinstance(path, str) or not EXPANDABLE.issuperset(path.split(".")):
            raise errors.invalid(f"This property cannot be expanded ({path}).", "expand")
    return paths


def _reply(request: Request, request_id: str, status: int, body: bytes, headers: dict[str, str] | None = None) -> Reply:
    """docs.stripe.com/api/request_ids, docs.stripe.com/api/versioning"""
    sent = {"Request-Id": request_id, "Stripe-Version": request.headers.get("stripe-version", API_VERSION)}
    if key := request.headers.get("idempotency-key"):
        sent |= {"Idempotency-Key": key, "Original-Request": request_id}
    return Reply(status, body, sent | (headers or {}))
