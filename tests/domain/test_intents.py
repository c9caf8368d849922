"""An intent is judged by its state and its sums together."""

from __future__ import annotations

import itertools

import pytest

from app.domain.intents import Intent, IntentState, Standing, in_words, is_in, is_kept, spell, standing, state_of


def intent(state: IntentState, *, received: int = 0, capturable: int = 0, refunded: int = 0) -> Intent:
    return Intent(
        id="pi_1",
        state=state,
        currency="eur",
        amount=3000,
        amount_capturable=capturable,
        amount_received=received,
        amount_refunded=refunded,
    )


NOTHING_RECEIVED = {
    IntentState.HELD: Standing.HELD,
    IntentState.CANCELED: Standing.RELEASED,
    IntentState.CAPTURED: Standing.UNSETTLED,
    IntentState.PROCESSING: Standing.UNSETTLED,
    IntentState.OTHER: Standing.UNSETTLED,
}


@pytest.mark.parametrize("state", IntentState)
def test_nothing_was_received(state: IntentState) -> None:
    assert standing(intent(state)) is NOTHING_RECEIVED[state]


@pytest.mark.parametrize(("state", "received"), list(itertools.product(IntentState, (1, 1000, 3000, 4000))))
def test_money_received_outranks_the_state(state: IntentState, received: int) -> None:
    assert standing(intent(state, received=received)) is Standing.TAKEN


@pytest.mark.parametrize("state", IntentState)
def test_more_can_be_captured_only_while_it_is_held(state: IntentState) -> None:
    expected = Standing.PARTLY_TAKEN if state is IntentState.HELD else Standing.TAKEN
    assert standing(intent(state, received=1000, capturable=2000)) is expected


def test_words() -> None:
    part = intent(IntentState.CANCELED, received=1000, refunded=250)
    assert in_words(part) == "Stripe's intent is canceled: 10.00 EUR of 30.00 EUR received, 2.50 EUR refunded"


@pytest.mark.parametrize(("currency", "same"), [("eur", True), ("EUR", True), ("usd", False)])
def test_currency(currency: str, *, same: bool) -> None:
    assert is_in(intent(IntentState.HELD), currency) is same


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("requires_capture", IntentState.HELD),
        ("succeeded", IntentState.CAPTURED),
        ("canceled", IntentState.CANCELED),
        ("processing", IntentState.PROCESSING),
        ("requires_action", IntentState.OTHER),
        ("of_a_later_version", IntentState.OTHER),
        ("", IntentState.OTHER),
        (None, IntentState.OTHER),
    ],
)
def test_stripes_words(status: str | None, state: IntentState) -> None:
    assert state_of(status) is state


def test_an_intent_says_nothing_of_refunds_unless_it_is_told() -> None:
    plain = Intent(
        id="pi_1", state=IntentState.CAPTURED, currency="eur", amount=1, amount_capturable=0, amount_received=1
    )
    assert (plain.amount_refunded, plain.knows_refunds, plain.lapses_at, plain.raw) == (0, False, None, {})
    assert in_words(plain) == "Stripe's intent is captured: 0.01 EUR of 0.01 EUR received"


@pytest.mark.parametrize(
    ("minor", "currency", "spelled"),
    [(1000, "eur", "10.00 EUR"), (3500, "jpy", "3500 JPY"), (1240, "KWD", "1.240 KWD"), (0, "usd", "0.00 USD")],
)
def test_spelled_sums(minor: int, currency: str, spelled: str) -> None:
    assert spell(minor, currency) == spelled


@pytest.mark.parametrize(
    ("received", "refunded", "kept"), [(0, 0, False), (1, 0, True), (10, 9, True), (10, 10, False)]
)
def test_money_is_kept_until_all_of_it_was_refunded(received: int, refunded: int, *, kept: bool) -> None:
    assert is_kept(intent(IntentState.CAPTURED, received=received, refunded=refunded)) is kept
