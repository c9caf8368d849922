"""A PaymentIntent as Stripe answers it, and what its state and its sums together say of the money."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

import msgspec

from app.domain.money import decimal_digits, from_minor_units


class IntentState(StrEnum):
    """What a PaymentIntent means to a hold."""

    HELD = "held"
    CAPTURED = "captured"
    CANCELED = "canceled"
    PROCESSING = "processing"
    """The bank has not answered a capture or a debit yet: it can become captured, held or canceled by itself."""
    OTHER = "other"
    """Not authorized, or waiting for the shopper or the bank: neither captured nor safe to forget."""


_STATES: Final = {
    "requires_capture": IntentState.HELD,
    "succeeded": IntentState.CAPTURED,
    "canceled": IntentState.CANCELED,
    "processing": IntentState.PROCESSING,
}


def state_of(status: str | None) -> IntentState:
    """Return what Stripe's word for an intent's status means to a hold; ``OTHER`` for a word that is not known."""
    return _STATES.get(status or "", IntentState.OTHER)


class Intent(msgspec.Struct, frozen=True, kw_only=True):
    """A PaymentIntent as Stripe answered it, sums in the smallest unit."""

    id: str
    state: IntentState
    currency: str
    amount: int
    amount_capturable: int
    amount_received: int
    amount_refunded: int = 0
    knows_refunds: bool = False
    """Whether the answer told of refunds: only a retrieved intent does, together with its charge."""
    lapses_at: datetime | None = None
    """When the bank lets go of a hold by itself, where Stripe was asked about its charge too."""
    raw: dict[str, Any] = {}
    """Stripe's whole answer: what Medusa keeps in ``payment.data``."""


class Standing(StrEnum):
    """Where the money of an intent is, judged by its state and its sums."""

    HELD = "held"
    """Authorized, and nothing received."""
    PARTLY_TAKEN = "partly_taken"
    """Money was received and more is still authorized (multicapture)."""
    TAKEN = "taken"
    """Money was received, and no more can be captured: ``succeeded``, or ``canceled`` after a part was captured."""
    RELEASED = "released"
    """Canceled, and nothing was received."""
    UNSETTLED = "unsettled"
    """Waits for the shopper or the bank, or its sums contradict its state."""


def standing(intent: Intent) -> Standing:
    """Judge an intent as Stripe answered it."""
    return judge(intent.state, received=intent.amount_received, capturable=intent.amount_capturable > 0)


def judge(state: IntentState, *, received: Decimal | int, capturable: bool) -> Standing:
    """Judge a state with its sums. Money received outranks every state: ``canceled`` says only that no more can be
    captured."""
    if received > 0:
        return Standing.PARTLY_TAKEN if state is IntentState.HELD and capturable else Standing.TAKEN
    match state:
        case IntentState.HELD:
            return Standing.HELD
        case IntentState.CANCELED:
            return Standing.RELEASED
        case IntentState.CAPTURED | IntentState.PROCESSING | IntentState.OTHER:
            return Standing.UNSETTLED


def is_kept(intent: Intent) -> bool:
    """Return whether Stripe received money for the intent that it has not refunded."""
    return intent.amount_received > intent.amount_refunded


def is_in(intent: Intent, currency: str) -> bool:
    """Whether the intent's sums are of ``currency``. Sums of another one are named to a person and never booked."""
    return intent.currency.lower() == currency.lower()


def in_words(intent: Intent) -> str:
    """State and sums, as an incident names them."""
    received = spell(intent.amount_received, intent.currency)
    text = f"Stripe's intent is {intent.state.value}: {received} of {spell(intent.amount, intent.currency)} received"
    if intent.amount_refunded:
        text += f", {spell(intent.amount_refunded, intent.currency)} refunded"
    return text


def spell(minor: int, currency: str) -> str:
    """A sum of smallest units with its currency: ``10.00 EUR``."""
    return f"{from_minor_units(minor, currency):.{decimal_digits(currency)}f} {currency.upper()}"
