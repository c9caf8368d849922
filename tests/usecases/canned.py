"""Stripe with answers that the sandbox does not give."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec

from app.embedded.shop import PlacedOrder
from app.gateways.stripe_gateway import _intent as parse
from app.ports import Answered, Call, Outcome, PaymentGateway, Unseen
from tests.usecases.hand import Hand


class Canned:
    """A gateway that answers some verbs with what is given, and asks the sandbox for the others."""

    def __init__(self, inner: PaymentGateway, answers: Mapping[str, Answered]) -> None:
        self._inner, self._answers = inner, answers

    async def look(self, intent_id: str, *, calls: list[Call] | None = None) -> Answered | Unseen:
        """See ``app.ports.PaymentGateway``."""
        return self._answers.get("look") or await self._inner.look(intent_id, calls=calls)

    async def capture(self, intent_id: str, *, amount: int, key: str, calls: list[Call] | None = None) -> Outcome:
        """See ``app.ports.PaymentGateway``."""
        return self._answers.get("capture") or await self._inner.capture(intent_id, amount=amount, key=key, calls=calls)

    async def void(self, intent_id: str, *, key: str, calls: list[Call] | None = None) -> Outcome:
        """See ``app.ports.PaymentGateway``."""
        return self._answers.get("void") or await self._inner.void(intent_id, key=key, calls=calls)

    async def refund(self, intent_id: str, *, amount: int, key: str, calls: list[Call] | None = None) -> Outcome:
        """See ``app.ports.PaymentGateway``."""
        return self._answers.get("refund") or await self._inner.refund(intent_id, amount=amount, key=key, calls=calls)


def answering(hand: Hand, **answers: Answered) -> Hand:
    """The same hand, and Stripe's answers to these verbs."""
    gateway = Canned(hand.services.gateway, answers)
    return replace(hand, services=msgspec.structs.replace(hand.services, gateway=gateway))


def intent_of(order: PlacedOrder, status: str, received: int = 0, **given: Any) -> Answered:
    """The order's first intent, of 30.00 EUR unless said otherwise, as Stripe spells it."""
    return answer_of(order.intent_ids[0], status, received, **given)


def answer_of(intent_id: str, status: str, received: int = 0, **given: Any) -> Answered:
    """An intent of 30.00 EUR unless said otherwise, as Stripe spells it."""
    refunded = given.pop("refunded", None)
    if refunded is not None:
        given["latest_charge"] = {
            "id": "ch_1",
            "captured": True,
            "amount": received,
            "amount_captured": received,
            "amount_refunded": refunded,
        }
    raw = {"id": intent_id, "object": "payment_intent", "status": status, "currency": "eur", "amount": 3000}
    return Answered(parse({**raw, "amount_received": received, **given}))
