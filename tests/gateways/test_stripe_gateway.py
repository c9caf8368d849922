"""The gateway tells apart what Stripe did, did not do, and may have done; it waits briefly and tries nothing twice."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.embedded.processes import free_port
from app.embedded.stripe_sandbox.client import Sandbox
from app.gateways.stripe_gateway import StripeGateway
from app.ports import Answered, Declined, Intent, IntentState, Unknown, Unseen

CAPTURE = "payment_intents.capture"

# fault, its details, the outcome; ``saved`` says that the same key would get the same error again
TOLD_APART: list[Any] = [
    pytest.param("error", {"status": 400}, Declined, None, id="400"),
    pytest.param("error", {"status": 401}, Declined, None, id="401"),
    pytest.param("error", {"status": 402}, Declined, None, id="402"),
    pytest.param("error", {"status": 403}, Declined, None, id="403"),
    pytest.param("error", {"status": 404}, Declined, None, id="404"),
    pytest.param("error", {"status": 429}, Declined, None, id="429"),
    pytest.param("error", {"status": 409}, Unknown, False, id="409: the key is in use"),
    pytest.param("error", {"status": 500}, Unknown, True, id="500"),
    pytest.param("error_saved", {"status": 500}, Unknown, True, id="500 saved"),
    pytest.param("error_after", {"status": 503}, Unknown, True, id="503 although done"),
    pytest.param("error", {"status": 302}, Unknown, False, id="302: not Stripe's"),
    pytest.param("reset", {}, Unknown, False, id="reset"),
    pytest.param("drop_after", {}, Unknown, False, id="done, answer dropped"),
    pytest.param("timeout", {"seconds": 5}, Unknown, False, id="no answer"),
    pytest.param("timeout_after", {"seconds": 5}, Unknown, False, id="done, no answer"),
]


@pytest.fixture
async def gateway(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[StripeGateway]:
    """A gateway with half a second of patience."""
    monkeypatch.setattr("app.gateways.stripe_gateway.TIMEOUT", 0.5)
    gateway = StripeGateway.open(sandbox.key, sandbox.url + "/")
    yield gateway
    await gateway.close()


@pytest.fixture
async def hold(sandbox: Sandbox) -> str:
    """A hold of 29.74 EUR."""
    return str((await sandbox.authorize(2974, "eur"))["id"])


@pytest.mark.parametrize(("action", "details", "kind", "saved"), TOLD_APART)
async def test_errors_are_told_apart_and_nothing_is_tried_twice(
    gateway: StripeGateway,
    sandbox: Sandbox,
    hold: str,
    action: str,
    details: dict[str, Any],
    kind: type[Declined | Unknown],
    saved: bool | None,
) -> None:
    await sandbox.fault(CAPTURE, action, times=None, **details)
    began = time.monotonic()
    outcome = await gateway.capture(hold, amount=2974, key="k")
    assert time.monotonic() - began < 2
    assert isinstance(outcome, kind)
    if isinstance(outcome, Unknown):
        assert outcome.saved == saved
        assert outcome.error
    assert len(await sandbox.requests(CAPTURE)) == 1


async def test_a_capture_takes_the_amount_under_the_key(gateway: StripeGateway, sandbox: Sandbox, hold: str) -> None:
    intent = _answered(await gateway.capture(hold, amount=2974, key="grace-capture-pay_1-1"))
    assert (intent.state, intent.amount_received, intent.amount_capturable) == (IntentState.CAPTURED, 2974, 0)
    (request,) = await sandbox.requests(CAPTURE)
    assert (request["idempotency_key"], request["params"]) == ("grace-capture-pay_1-1", {"amount_to_capture": "2974"})
    assert intent.raw["status"] == "succeeded"
    assert isinstance(intent.raw["latest_charge"], str), "nothing expanded goes into payment.data"


async def test_a_void_lets_go(gateway: StripeGateway, sandbox: Sandbox, hold: str) -> None:
    intent = _answered(await gateway.void(hold, key="k"))
    assert (intent.state, intent.amount_received) == (IntentState.CANCELED, 0)
    (request,) = await sandbox.requests("payment_intents.cancel")
    assert (request["idempotency_key"], request["params"]) == ("k", {})


async def test_what_is_done_already_is_answered(gateway: StripeGateway, sandbox: Sandbox) -> None:
    captured, voided = [str((await sandbox.authorize(2974, "eur"))["id"]) for _ in range(2)]
    await gateway.capture(captured, amount=2974, key="1")
    await gateway.void(voided, key="2")
    assert _answered(await gateway.capture(captured, amount=2974, key="3")).state is IntentState.CAPTURED
    assert _answered(await gateway.void(voided, key="4")).state is IntentState.CANCELED


async def test_the_opposite_of_what_is_done_is_declined_and_shows_the_intent(
    gateway: StripeGateway, sandbox: Sandbox
) -> None:
    captured, voided = [str((await sandbox.authorize(2974, "eur"))["id"]) for _ in range(2)]
    await gateway.capture(captured, amount=2974, key="1")
    await gateway.void(voided, key="2")
    no_void = await gateway.void(captured, key="3")
    assert isinstance(no_void, Declined)
    assert no_void.intent is not None
    assert no_void.intent.state is IntentState.CAPTURED
    assert no_void.intent.amount_received == 2974
    no_capture = await gateway.capture(voided, amount=2974, key="4")
    assert isinstance(no_capture, Declined)
    assert no_capture.intent is not None
    assert no_capture.intent.state is IntentState.CANCELED
    assert "payment_intent_unexpected_state" in no_capture.error


async def test_an_intent_that_waits_for_the_shopper_is_neither(gateway: StripeGateway, sandbox: Sandbox) -> None:
    intent = await sandbox.authorize(2974, "eur", payment_method="pm_card_authenticationRequired")
    assert _answered(await gateway.look(intent["id"])).state is IntentState.OTHER


async def test_a_look_sees_the_hold_and_what_was_given_back(
    gateway: StripeGateway, sandbox: Sandbox, hold: str
) -> None:
    held = _answered(await gateway.look(hold))
    assert (held.state, held.currency, held.amount, held.amount_capturable) == (IntentState.HELD, "eur", 2974, 2974)
    await gateway.capture(hold, amount=2974, key="1")
    refunded = _answered(await gateway.refund(hold, amount=1000, key="2"))
    assert (refunded.state, refunded.amount_received, refunded.amount_refunded) == (IntentState.CAPTURED, 2974, 1000)
    (request,) = await sandbox.requests("refunds.create")
    assert (request["idempotency_key"], request["params"]["amount"]) == ("2", "1000")
    assert _answered(await gateway.look(hold)).amount_refunded == 1000


async def test_the_released_rest_of_a_partial_capture_was_not_given_back(gateway: StripeGateway, hold: str) -> None:
    await gateway.capture(hold, amount=1000, key="1")
    partly = _answered(await gateway.look(hold))
    assert (partly.amount_received, partly.amount_refunded) == (1000, 0)
    assert _answered(await gateway.refund(hold, amount=400, key="2")).amount_refunded == 400


async def test_a_hold_that_was_let_go_was_not_given_back(gateway: StripeGateway, hold: str) -> None:
    await gateway.void(hold, key="1")
    assert _answered(await gateway.look(hold)).amount_refunded == 0


@pytest.mark.parametrize("status", [401, 404, 429, 500])
async def test_a_look_that_fails_saw_nothing(gateway: StripeGateway, sandbox: Sandbox, hold: str, status: int) -> None:
    await sandbox.fault("payment_intents.retrieve", "error", status=status)
    outcome = await gateway.look(hold)
    assert isinstance(outcome, Unseen)
    assert str(status) in outcome.error


async def test_an_intent_of_another_account_is_unseen_and_not_captured(gateway: StripeGateway) -> None:
    assert isinstance(await gateway.look("pi_of_nobody"), Unseen)
    assert isinstance(await gateway.capture("pi_of_nobody", amount=1, key="1"), Declined)


async def test_a_refund_whose_look_fails_is_not_taken_for_a_failure_that_needs_a_new_key(
    gateway: StripeGateway, sandbox: Sandbox, hold: str
) -> None:
    await gateway.capture(hold, amount=2974, key="1")
    await sandbox.fault("payment_intents.retrieve", "error", status=500)
    assert isinstance(await gateway.refund(hold, amount=2974, key="2"), Unseen)
    assert (await sandbox.ledger())[hold].refunds == 1


async def test_nobody_at_the_address_is_unknown_and_soon(sandbox: Sandbox) -> None:
    gateway = StripeGateway.open(sandbox.key, f"http://127.0.0.1:{free_port()}")
    began = time.monotonic()
    outcome = await gateway.void("pi_1", key="k")
    await gateway.close()
    assert isinstance(outcome, Unknown)
    assert not outcome.saved
    assert time.monotonic() - began < 1


async def test_an_error_names_what_it_is_and_no_secret(gateway: StripeGateway, sandbox: Sandbox, hold: str) -> None:
    other = StripeGateway.open(f"{sandbox.key}_of_another", sandbox.url)
    outcome = await other.void(hold, key="k")
    await other.close()
    assert isinstance(outcome, Declined), "another account has no such intent"
    assert "resource_missing" in outcome.error
    assert sandbox.key not in outcome.error
    await sandbox.fault(CAPTURE, "error", status=402)
    declined = await gateway.capture(hold, amount=2974, key="k")
    assert isinstance(declined, Declined)
    assert declined.error.startswith("The card was declined: ")
    assert declined.error.endswith(" (CardError 402 card_declined)")


def _answered(outcome: object) -> Intent:
    assert isinstance(outcome, Answered), outcome
    return outcome.intent
