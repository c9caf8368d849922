"""The side of the sandbox that Stripe does not have: what tests ask of it, under /_sandbox/."""

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import msgspec

from app.embedded.stripe_sandbox import intents
from app.embedded.stripe_sandbox.api import Reply, Request, api_key
from app.embedded.stripe_sandbox.errors import StripeError, bad_key
from app.embedded.stripe_sandbox.faults import Fault
from app.embedded.stripe_sandbox.form import parse_form
from app.embedded.stripe_sandbox.ledger import encode
from app.embedded.stripe_sandbox.webhooks import Endpoint, Order
from app.embedded.stripe_sandbox.world import World, Worlds

Given = TypeVar("Given")


class Clock(msgspec.Struct, forbid_unknown_fields=True):
    """How far to move the clock on."""

    advance_seconds: Annotated[int, msgspec.Meta(ge=0)]


class Latency(msgspec.Struct, forbid_unknown_fields=True):
    """How long every request takes from now on."""

    seconds: Annotated[float, msgspec.Meta(ge=0)]


class Copies(msgspec.Struct, forbid_unknown_fields=True):
    """How often each event is delivered."""

    copies: Annotated[int, msgspec.Meta(ge=1)]


class Release(msgspec.Struct, forbid_unknown_fields=True):
    """In which order the held events go out."""

    order: Order = Order.CREATED


class Holds(msgspec.Struct, forbid_unknown_fields=True):
    """How many holds of what amount to make at once."""

    count: Annotated[int, msgspec.Meta(ge=1, le=100_000)]
    amount: Annotated[int, msgspec.Meta(ge=1)]
    currency: str


class Authentication(msgspec.Struct, forbid_unknown_fields=True):
    """Whether the card holder passes 3-D Secure."""

    passed: bool = True


class Settlement(msgspec.Struct, forbid_unknown_fields=True):
    """Whether the bank pays what it was processing."""

    paid: bool = True


class Control:
    """Answers what is under /_sandbox/: every call but ``health`` is about the world of its API key."""

    def __init__(self, worlds: Worlds) -> None:
        self._worlds = worlds

    def answer(self, request: Request) -> Reply:
        """Carries out one order."""
        what = request.path.removeprefix("/_sandbox/")
        if (request.method, what) == ("GET", "health"):
            return _json(200, {"ok": True})
        try:
            key = api_key(request)
            if key.startswith("pk_"):
                raise bad_key(key)
            world = self._worlds.of(key)
            if order := _ORDERS.get((request.method, what)):
                return _json(200, order(world, request))
            if what.startswith("intents/"):
                return _json(200, _intent(world, request, *what.split("/")[1:]))
        except StripeError as refusal:
            return _json(refusal.status, {"error": refusal.error})
        except msgspec.MsgspecError as bad:
            return _json(400, {"error": {"message": str(bad)}})
        return _json(404, {"error": {"message": f"No such control: {request.method} {what}"}})


def _json(status: int, body: Any) -> Reply:
    return Reply(status, encode(body))


def _read(request: Request, kind: type[Given]) -> Given:
    return msgspec.json.decode(request.body or b"{}", type=kind)


def _intent(world: World, request: Request, intent_id: str, act: str = "") -> Any:
    match act:
        case "":
            return world.ledger.intent(intent_id)
        case "lapse":
            return intents.lapse(world.ledger, intent_id)
        case "authenticate":
            return intents.authenticate(world.ledger, intent_id, passed=_read(request, Authentication).passed)
        case "process":
            return intents.process(world.ledger, intent_id)
        case "settle":
            return intents.settle(world.ledger, intent_id, paid=_read(request, Settlement).paid)
        case _:
            raise StripeError(404, f"No such act: {act}")


def _state(world: World, _request: Request) -> Any:
    ledger = world.ledger
    ledger.let_due_holds_lapse()
    return {
        "now": ledger.now(),
        "latency": world.latency,
        "payment_intents": ledger.intents,
        "charges": ledger.charges,
        "refunds": ledger.refunds,
        "customers": ledger.customers,
        "payment_methods": ledger.payment_methods,
        "events": list(ledger.events.values()),
        "faults": world.faults.orders,
        "webhooks": world.webhooks.endpoints,
        "idempotency_keys": len(world.results),
    }


def _requests(world: World, request: Request) -> Any:
    op = parse_form(request.query).get("op")
    return [seen for seen in world.requests if op in (None, seen.op)]


def _authorize_many(world: World, request: Request) -> Any:
    wanted = _read(request, Holds)
    form = {"amount": str(wanted.amount), "currency": wanted.currency, "capture_method": "manual"}
    form |= {"confirm": "true", "payment_method": "pm_card_visa"}
    return {"ids": [intents.create(world.ledger, "", dict(form))["id"] for _ in range(wanted.count)]}


def _add_fault(world: World, request: Request) -> Any:
    fault = _read(request, Fault)
    world.faults.orders.append(fault)
    return fault


def _clear_faults(world: World, _request: Request) -> Any:
    world.faults.orders.clear()
    return {"ok": True}


def _advance(world: World, request: Request) -> Any:
    world.ledger.advance(_read(request, Clock).advance_seconds)
    return {"now": world.ledger.now()}


def _latency(world: World, request: Request) -> Any:
    world.latency = _read(request, Latency).seconds
    return {"seconds": world.latency}


def _add_endpoint(world: World, request: Request) -> Any:
    endpoint = _read(request, Endpoint)
    world.webhooks.endpoints.append(endpoint)
    return endpoint


def _remove_endpoints(world: World, _request: Request) -> Any:
    world.webhooks.close()
    return {"ok": True}


def _hold(world: World, _request: Request) -> Any:
    world.webhooks.hold()
    return {"ok": True}


def _release(world: World, request: Request) -> Any:
    return {"released": world.webhooks.release(_read(request, Release).order)}


def _copies(world: World, request: Request) -> Any:
    world.webhooks.copies = _read(request, Copies).copies
    return {"copies": world.webhooks.copies}


def _reset(world: World, _request: Request) -> Any:
    world.reset()
    return {"ok": True}


_ORDERS: dict[tuple[str, str], Callable[[World, Request], Any]] = {
    ("GET", "state"): _state,
    ("GET", "ledger"): lambda world, _request: dict(world.ledger.lines()),
    ("GET", "requests"): _requests,
    ("POST", "holds"): _authorize_many,
    ("GET", "faults"): lambda world, _request: world.faults.orders,
    ("POST", "faults"): _add_fault,
    ("DELETE", "faults"): _clear_faults,
    ("POST", "clock"): _advance,
    ("POST", "latency"): _latency,
    ("POST", "webhooks"): _add_endpoint,
    ("DELETE", "webhooks"): _remove_endpoints,
    ("POST", "webhooks/hold"): _hold,
    ("POST", "webhooks/release"): _release,
    ("POST", "webhooks/copies"): _copies,
    ("GET", "webhooks/deliveries"): lambda world, _request: world.webhooks.deliveries,
    ("POST", "reset"): _reset,
}
