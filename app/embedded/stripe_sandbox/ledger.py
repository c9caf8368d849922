"""All that one Stripe account holds: its objects, its clock and its events, and nothing about HTTP."""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from app.embedded.stripe_sandbox.errors import missing
from app.embedded.stripe_sandbox.form import Params, positive
from app.embedded.stripe_sandbox.objects import (
    API_VERSION,
    HOLD_SECONDS,
    TEST_CARDS,
    Card,
    Object,
    new_id,
    payment_method,
    refund,
)

EVENTS_KEPT = 20_000
PAGE, LARGEST_PAGE = 10, 100

encode = msgspec.json.Encoder().encode


class LedgerLine(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one intent's money, in the smallest unit, and how often each thing was done to it."""

    status: str
    currency: str
    authorized: int
    captured: int
    refunded: int
    captures: int
    voids: int
    refunds: int


class Ledger:
    """One account's objects by id. Each change that Stripe announces is announced through ``announce``."""

    def __init__(self, announce: Callable[[Object], None] = lambda _event: None) -> None:
        self.announce = announce
        self.ahead_seconds = 0
        self.cause: tuple[str | None, str | None] = (None, None)
        self.intents: dict[str, Object] = {}
        self.charges: dict[str, Object] = {}
        self.refunds: dict[str, Object] = {}
        self.customers: dict[str, Object] = {}
        self.payment_methods: dict[str, Object] = {}
        self.cards: dict[str, Card] = {}
        self.events: dict[str, Object] = {}
        self._effects: dict[str, list[int]] = {}

    # --- the clock ---------------------------------------------------------------------------------------

    def now(self) -> int:
        """Seconds since the epoch, by this account's clock."""
        return int(time.time()) + self.ahead_seconds

    def advance(self, seconds: int) -> None:
        """Moves the clock on; every authorization that ends meanwhile lapses."""
        self.ahead_seconds += seconds
        self.let_due_holds_lapse()

    def let_due_holds_lapse(self) -> None:
        """Applies the end of every authorization that is over."""
        for intent in list(self.intents.values()):
            self._lapse_if_due(intent)

    def _lapse_if_due(self, intent: Object) -> None:
        """An authorization not captured in time is let go and its intent canceled.

        docs.stripe.com/payments/place-a-hold-on-a-payment-method; ``automatic`` is the reason that Stripe
        itself gives (docs.stripe.com/api/payment_intents/object#payment_intent_object-cancellation_reason).
        """
        if intent["status"] == "requires_capture":
            due: int = self.charges[intent["latest_charge"]]["created"] + HOLD_SECONDS
            if self.now() >= due:
                self.let_go(intent, reason="automatic", at=due)

    def let_go(self, intent: Object, *, reason: str | None, at: int) -> None:
        """Ends an intent without money: the hold, if there is one, is returned.

        Stripe writes a returned hold down as a refund of the charge, although nothing was taken: a reader
        of refunds who does not look at ``captured`` counts money that never moved.
        docs.stripe.com/api/payment_intents/cancel, docs.stripe.com/api/refunds/object#refund_object-reason
        """
        if intent["status"] == "requires_capture":
            charge = self.charges[intent["latest_charge"]]
            lapsed = reason == "automatic"
            self.release(charge, charge["amount"], "expired_uncaptured_charge" if lapsed else None)
            self.emit("charge.expired" if lapsed else "charge.refunded", charge)
        intent.update(
            status="canceled", canceled_at=at, cancellation_reason=reason, amount_capturable=0, next_action=None
        )
        self.count(intent["id"], voids=1)
        self.emit("payment_intent.canceled", intent)

    def release(self, charge: Object, amount: int, reason: str | None = None) -> None:
        """Gives back the part of a hold that will not be taken."""
        given_back = refund(charge, amount=amount, reason=reason, metadata={}, created=self.now())
        given_back["destination_details"]["card"]["type"] = "reversal"
        self.refunds[given_back["id"]] = given_back
        charge["amount_refunded"] += amount
        charge["refunded"] = charge["amount_refunded"] == charge["amount"]

    # --- events ------------------------------------------------------------------------------------------

    def emit(self, kind: str, subject: Object) -> None:
        """Records what happened, with the object as it was then (docs.stripe.com/api/events/object)."""
        request_id, key = self.cause
        event: Object = {
            "id": new_id("evt_3"),
            "object": "event",
            "api_version": API_VERSION,
            "created": self.now(),
            "data": {"object": msgspec.Raw(encode(subject))},
            "livemode": False,
            "pending_webhooks": 0,
            "request": {"id": request_id, "idempotency_key": key},
            "type": kind,
        }
        self.events[event["id"]] = event
        if len(self.events) > EVENTS_KEPT:
            del self.events[next(iter(self.events))]
        self.announce(event)

    # --- looking things up -------------------------------------------------------------------------------

    def intent(self, intent_id: str, param: str = "intent") -> Object:
        """The intent as it is by now."""
        intent = self.intents.get(intent_id)
        if intent is None:
            raise missing("payment_intent", intent_id, param)
        self._lapse_if_due(intent)
        return intent

    def customer(self, customer_id: str, *, referred: bool = False) -> Object:
        """The customer; ``referred`` when a parameter names it."""
        found = self.customers.get(customer_id)
        if found is None:
            raise missing("customer", customer_id, "customer" if referred else "id", 400 if referred else 404)
        return found

    def own_payment_method(self, given: Any, customer: str | None = None) -> str:
        """The id to charge: ``pm_card_visa`` and its like become one of the account's own at first use.

        docs.stripe.com/testing?testing-method=payment-methods
        """
        if given in self.payment_methods:
            return str(given)
        if given not in TEST_CARDS:
            raise missing("PaymentMethod", str(given), "payment_method", 400)
        made = payment_method(TEST_CARDS[given], self.now(), customer)
        self.payment_methods[made["id"]] = made
        self.cards[made["id"]] = TEST_CARDS[given]
        return str(made["id"])

    def find(self, object_id: str) -> Object | None:
        """Any object by its id, for ``expand``."""
        for held in (self.charges, self.payment_methods, self.customers, self.intents, self.refunds):
            if found := held.get(object_id):
                return found
        return None

    def expanded(self, shown: Object, paths: Iterable[str]) -> Object:
        """The object with the named ids replaced by what they stand for (docs.stripe.com/api/expanding_objects)."""
        for path in paths:
            name, _, rest = path.partition(".")
            if name == "data" and isinstance(shown.get("data"), list):
                shown = {**shown, "data": [self.expanded(item, [rest]) for item in shown["data"]]}
                continue
            if name == "refunds" and shown["object"] == "charge":
                given_back = [one for one in self.refunds.values() if one["charge"] == shown["id"]]
                inner: Object | None = {
                    "object": "list",
                    "data": given_back[::-1],
                    "has_more": False,
                    "url": "/v1/refunds",
                }
            else:
                value = shown.get(name)
                inner = self.find(value) if isinstance(value, str) else value
            if inner is not None:
                shown = {**shown, name: self.expanded(inner, [rest]) if rest else inner}
        return shown

    def page(self, held: Iterable[Object], params: Params, url: str) -> Object:
        """A page of a list, newest first (docs.stripe.com/api/pagination)."""
        self.let_due_holds_lapse()
        items = [item for item in held if _matches(item, params)][::-1]
        if after := params.get("starting_after"):
            ids = [item["id"] for item in items]
            if after not in ids:
                raise missing("object", after, "starting_after", 400)
            items = items[ids.index(after) + 1 :]
        limit = min(positive(params, "limit") or PAGE, LARGEST_PAGE)
        return {"object": "list", "data": items[:limit], "has_more": len(items) > limit, "url": url}

    # --- what became of the money --------------------------------------------------------------------------

    def count(self, intent_id: str, *, captures: int = 0, voids: int = 0, refunds: int = 0) -> None:
        """Remembers that something was done to an intent."""
        done = self._effects.setdefault(intent_id, [0, 0, 0])
        done[0] += captures
        done[1] += voids
        done[2] += refunds

    def lines(self) -> Iterator[tuple[str, LedgerLine]]:
        """Every intent with what became of its money."""
        self.let_due_holds_lapse()
        for intent_id, intent in self.intents.items():
            captures, voids, refunds = self._effects.get(intent_id, (0, 0, 0))
            charge = self.charges.get(intent["latest_charge"] or "", {})
            taken = charge.get("amount_captured", 0)
            given_back = charge.get("amount_refunded", 0) - (charge["amount"] - taken) if taken else 0
            yield (
                intent_id,
                LedgerLine(
                    status=intent["status"],
                    currency=intent["currency"],
                    authorized=charge.get("amount", 0) if charge.get("paid") else 0,
                    captured=taken,
                    refunded=given_back,
                    captures=captures,
                    voids=voids,
                    refunds=refunds,
                ),
            )


def _matches(item: Object, params: Params) -> bool:
    wanted_types = params.get("types")
    if wanted_types and item.get("type") not in wanted_types:
        return False
    names = ("customer", "payment_intent", "charge", "type")
    return all(item.get(name) == params[name] for name in names if params.get(name))
