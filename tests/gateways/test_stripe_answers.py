"""What an answer of Stripe's comes to: sums given back, the end of a hold, and states by their name."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
import stripe

from app.gateways.stripe_gateway import _already, _intent, _told_apart
from app.ports import Answered, Declined, IntentState, Unknown

BEFORE = 1_800_000_000


def raw(status: str = "succeeded", charge: object = None, **given: Any) -> dict[str, Any]:
    return {"id": "pi_1", "status": status, "currency": "eur", "amount": 3000, "latest_charge": charge, **given}


def charge(amount: int, captured: int, refunded: int, **given: Any) -> dict[str, Any]:
    sums = {"amount": amount, "amount_captured": captured, "amount_refunded": refunded}
    return {"id": "ch_1", "captured": captured > 0, **sums, **given}


@pytest.mark.parametrize(
    ("amount", "captured", "refunded", "given_back"),
    [
        (3000, 3000, 0, 0),
        (3000, 3000, 1000, 1000),
        (3000, 3000, 3000, 3000),
        (3000, 1000, 2000, 0),  # the rest that was never taken
        (3000, 1000, 2400, 400),
        (3000, 1000, 3000, 1000),
        (3000, 1000, 0, 0),  # before Stripe has written it
        (3000, 0, 3000, 0),  # a hold that was released
    ],
)
def test_what_was_given_back_is_of_what_was_taken(amount: int, captured: int, refunded: int, given_back: int) -> None:
    intent = _intent(raw(charge=charge(amount, captured, refunded), amount_received=captured))
    assert (intent.amount_received, intent.amount_refunded) == (captured, given_back)
    assert intent.raw["latest_charge"] == "ch_1"


@pytest.mark.parametrize("of", [None, "ch_1"])
def test_without_a_charge_nothing_is_known_of_refunds(of: object) -> None:
    intent = _intent(raw(charge=of))
    assert (intent.amount_refunded, intent.lapses_at, intent.amount_received, intent.amount_capturable) == (
        0,
        None,
        0,
        0,
    )
    assert intent.raw["latest_charge"] == of


@pytest.mark.parametrize(
    ("details", "lapses"),
    [
        ({"card": {"capture_before": BEFORE}}, True),
        ({"card": {"capture_before": None}}, False),
        ({"card": {}}, False),
        ({"card": None}, False),
        ({"sepa_debit": {}}, False),
        (None, False),
    ],
)
def test_a_cards_hold_tells_when_it_lapses(details: object, lapses: bool) -> None:
    intent = _intent(raw("requires_capture", charge(3000, 0, 0, payment_method_details=details)))
    assert intent.lapses_at == (datetime.fromtimestamp(BEFORE, UTC) if lapses else None)


STATES = {
    "requires_capture": IntentState.HELD,
    "succeeded": IntentState.CAPTURED,
    "canceled": IntentState.CANCELED,
    "processing": IntentState.PROCESSING,
    "requires_action": IntentState.OTHER,
    "requires_payment_method": IntentState.OTHER,
    "requires_confirmation": IntentState.OTHER,
    "of_a_later_version": IntentState.OTHER,
}


@pytest.mark.parametrize("status", STATES)
def test_states(status: str) -> None:
    assert _intent(raw(status)).state is STATES[status]


@pytest.mark.parametrize("status", STATES)
@pytest.mark.parametrize("wanted", [IntentState.CAPTURED, IntentState.CANCELED])
def test_only_what_was_asked_for_is_done_already(status: str, wanted: IntentState) -> None:
    intent = _intent(raw(status))
    outcome = _already(Declined("no", intent), wanted)
    assert outcome == (Answered(intent) if STATES[status] is wanted else Declined("no", intent))
    for other in (Declined("no"), Unknown("?"), Unknown("?", saved=True)):
        assert _already(other, wanted) is other


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (None, Unknown),
        (302, Unknown),
        (399, Unknown),
        (400, Declined),
        (402, Declined),
        (408, Declined),
        (409, Unknown),
        (410, Declined),
        (429, Declined),
        (499, Declined),
        (500, Unknown),
        (503, Unknown),
        (599, Unknown),
    ],
)
def test_statuses(status: int | None, told: type[Declined | Unknown]) -> None:
    body: Any = {"error": {"code": "x", "payment_intent": raw("canceled")}}
    outcome = _told_apart(stripe.StripeError("no", http_status=status, json_body=body))
    assert isinstance(outcome, told)
    if isinstance(outcome, Unknown):
        assert outcome.saved is (status is not None and status >= 500), "Stripe replays it for the same key"
    else:
        assert outcome.intent is not None
        assert outcome.intent.state is IntentState.CANCELED


@pytest.mark.parametrize(
    "body", [None, [], "text", {}, {"error": None}, {"error": "x"}, {"error": {"payment_intent": 1}}]
)
def test_an_answer_that_is_none_of_stripes_shows_no_intent(body: Any) -> None:
    assert _told_apart(stripe.StripeError("no", http_status=402, json_body=body)) == Declined(
        "Stripe had a fault of its own: no (StripeError 402)"
    )
