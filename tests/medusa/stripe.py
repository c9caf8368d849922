"""What Stripe says of an order's money."""

from __future__ import annotations

from dataclasses import dataclass

from app.embedded.stripe_sandbox.client import Sandbox

from .orders import Medusa, Placed


@dataclass(frozen=True)
class Money:
    """An intent in the smallest unit."""

    status: str
    received: int
    capturable: int
    refunded: int


async def money_at_stripe(medusa: Medusa, placed: Placed) -> Money:
    """The intent as Stripe holds it now."""
    assert placed.intent_id
    around = medusa.lab.surroundings
    sandbox = Sandbox(around.stripe_url, around.stripe_key)
    intent = await sandbox.intent(placed.intent_id)
    line = (await sandbox.ledger())[placed.intent_id]
    return Money(intent["status"], intent["amount_received"], intent["amount_capturable"], line.refunded)
