"""The sandbox's ledger in the words of the checker of the promises."""

from collections.abc import Mapping
from typing import Final, Literal

from app.domain.findings import IntentFacts
from app.embedded.stripe_sandbox.ledger import LedgerLine

_STATES: Final[Mapping[str, Literal["held", "captured", "canceled"]]] = {
    "requires_capture": "held",
    "succeeded": "captured",
    "canceled": "canceled",
}


def facts_of(ledger: Mapping[str, LedgerLine]) -> dict[str, IntentFacts]:
    """Per intent: where its money is, and how often each thing was done to it."""
    return {
        intent_id: IntentFacts(
            state=_STATES.get(line.status, "other"),
            currency=line.currency,
            received=line.captured,
            refunded=line.refunded,
            captures=line.captures,
            voids=line.voids,
            refunds=line.refunds,
        )
        for intent_id, line in ledger.items()
    }
