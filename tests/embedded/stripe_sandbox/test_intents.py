"""The states of a PaymentIntent: what each operation does, and when Stripe refuses it."""

from typing import Any

import httpx
import pytest
import stripe
from stripe import PaymentIntentService

from app.embedded.stripe_sandbox.client import Sandbox
from tests.embedded.stripe_sandbox.conftest import Connect

pytestmark = pytest.mark.tools


HOLD: dict[str, Any] = {
    "amount": 2974,
    "currency": "eur",
    "capture_method": "manual",
    "confirm": True,
    "payment_method": "pm_card_visa",
}


def in_state(refused: pytest.ExceptionInfo[stripe.InvalidRequestError]) -> str:
    """The state that Stripe says the intent is in."""
    error = refused.value
    assert (error.http_status, error.code) == (400, "payment_intent_unexpected_state")
    assert error.error is not None
    assert error.error.payment_intent is not None
    return error.error.payment_intent.status


async def test_many_holds_are_made_at_once_and_are_like_those_that_a_card_confirmed(
    account: Sandbox, payments: PaymentIntentService
) -> None:
    one = await payments.create_async(HOLD)  # type: ignore[arg-type]
    many = await account.authorize_many(3, 2974, "eur")
    assert len(set(many)) == 3
    own = {"id", "client_secret", "latest_charge", "created", "payment_method"}
    like = {name: value for name, value in (await account.intent(one.id)).items() if name not in own}
    for intent_id in many:
        intent = await account.intent(intent_id)
        assert {name: value for name, value in intent.items() if name not in own} == like
    captured = await payments.capture_async(many[0])
    assert captured.amount_received == 2974


async def test_a_confirmed_manual_intent_is_a_hold(payments: PaymentIntentService) -> None:
    made = await payments.create_async({**HOLD, "expand": ["latest_charge"]})  # type: ignore[typeddict-item]
    assert (made.status, made.amount, made.amount_capturable, made.amount_received) == (
        "requires_capture",
        2974,
        2974,
        0,
    )
    assert (made.currency, made.capture_method, made.canceled_at) == ("eur", "manual", None)
    charge = made.latest_charge
    assert isinstance(charge, stripe.Charge)
    assert (charge.captured, charge.amount_captured, charge.paid, charge.payment_intent) == (False, 0, True, made.id)
    card = charge.payment_method_details.card  # type: ignore[union-attr]
    assert card.capture_before == charge.created + 7 * 24 * 3600  # type: ignore[union-attr]


async def test_an_automatic_intent_takes_the_money_at_once(account: Sandbox) -> None:
    made = await account.authorize(500, "jpy", capture_method="automatic")
    assert (made["status"], made["amount_received"], made["amount_capturable"]) == ("succeeded", 500, 0)


async def test_an_intent_waits_for_a_card_and_then_for_its_confirmation(payments: PaymentIntentService) -> None:
    made = await payments.create_async({"amount": 100, "currency": "eur", "capture_method": "manual"})
    assert made.status == "requires_payment_method"
    made = await payments.update_async(made.id, {"payment_method": "pm_card_mastercard"})
    assert made.status == "requires_confirmation"
    made = await payments.confirm_async(made.id)
    assert made.status == "requires_capture"


async def test_an_intent_cannot_be_confirmed_without_a_card(payments: PaymentIntentService) -> None:
    made = await payments.create_async({"amount": 100, "currency": "eur"})
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await payments.confirm_async(made.id)
    assert in_state(refused) == "requires_payment_method"


async def test_capture_takes_all_of_the_hold(account: Sandbox, payments: PaymentIntentService) -> None:
    held = await account.authorize(2974, "eur")
    taken = await payments.capture_async(held["id"], {"expand": ["latest_charge"]})
    assert (taken.status, taken.amount_received, taken.amount_capturable) == ("succeeded", 2974, 0)
    assert isinstance(taken.latest_charge, stripe.Charge)
    assert (taken.latest_charge.captured, taken.latest_charge.amount_captured) == (True, 2974)
    line = (await account.ledger())[held["id"]]
    assert (line.authorized, line.captured, line.refunded, line.captures) == (2974, 2974, 0, 1)


async def test_a_partial_capture_lets_the_rest_go(account: Sandbox, payments: PaymentIntentService) -> None:
    held = await account.authorize(1000, "eur")
    taken = await payments.capture_async(held["id"], {"amount_to_capture": 400, "expand": ["latest_charge.refunds"]})
    charge = taken.latest_charge
    assert isinstance(charge, stripe.Charge)
    assert (taken.amount_received, charge.amount_captured, charge.amount_refunded) == (400, 400, 600)
    assert not charge.refunded
    assert [refund.amount for refund in charge.refunds.data] == [600]  # type: ignore[union-attr]
    assert (await account.ledger())[held["id"]].refunded == 0


async def test_more_than_the_hold_cannot_be_captured(account: Sandbox, payments: PaymentIntentService) -> None:
    held = await account.authorize(1000, "eur")
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await payments.capture_async(held["id"], {"amount_to_capture": 1001})
    assert (refused.value.code, refused.value.param) == ("amount_too_large", "amount_to_capture")
    assert (await account.intent(held["id"]))["status"] == "requires_capture"


async def test_a_hold_is_captured_once(account: Sandbox, payments: PaymentIntentService) -> None:
    held = await account.authorize(1000, "eur")
    await payments.capture_async(held["id"], {"amount_to_capture": 400})
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await payments.capture_async(held["id"], {"amount_to_capture": 100})
    assert in_state(refused) == "succeeded"
    assert (await account.ledger())[held["id"]].captures == 1


async def test_what_nobody_authorized_cannot_be_captured(payments: PaymentIntentService) -> None:
    made = await payments.create_async({"amount": 100, "currency": "eur", "capture_method": "manual"})
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await payments.capture_async(made.id)
    assert in_state(refused) == "requires_payment_method"


async def test_cancel_lets_the_hold_go(account: Sandbox, payments: PaymentIntentService) -> None:
    held = await account.authorize(1000, "eur")
    ended = await payments.cancel_async(
        held["id"], {"cancellation_reason": "requested_by_customer", "expand": ["latest_charge"]}
    )
    assert (ended.status, ended.cancellation_reason, ended.amount_capturable) == (
        "canceled",
        "requested_by_customer",
        0,
    )
    assert ended.canceled_at
    charge = ended.latest_charge
    assert isinstance(charge, stripe.Charge)
    assert (charge.captured, charge.amount_captured) == (False, 0)
    line = (await account.ledger())[held["id"]]
    assert (line.captured, line.refunded, line.voids) == (0, 0, 1)


async def test_a_hold_let_go_reads_as_a_refund_of_its_charge(account: Sandbox, connect: Connect) -> None:
    held = await account.authorize(1000, "eur")
    client = connect()
    ended = await client.v1.payment_intents.cancel_async(held["id"])
    assert isinstance(ended.latest_charge, str)
    charge = await client.v1.charges.retrieve_async(ended.latest_charge)
    assert (charge.refunded, charge.amount_refunded, charge.captured) == (True, 1000, False)
    listed = await client.v1.refunds.list_async({"payment_intent": held["id"]})
    assert [(refund.amount, refund.reason) for refund in listed.data] == [(1000, None)]


@pytest.mark.parametrize("what", ["cancel", "capture", "confirm"])
async def test_a_canceled_intent_stays_canceled(account: Sandbox, payments: PaymentIntentService, what: str) -> None:
    held = await account.authorize(1000, "eur")
    await payments.cancel_async(held["id"])
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await getattr(payments, f"{what}_async")(held["id"])
    assert in_state(refused) == "canceled"
    line = (await account.ledger())[held["id"]]
    assert (line.captured, line.captures, line.voids) == (0, 0, 1)


@pytest.mark.parametrize("what", ["cancel", "confirm"])
async def test_taken_money_is_not_canceled(account: Sandbox, payments: PaymentIntentService, what: str) -> None:
    held = await account.authorize(1000, "eur")
    await payments.capture_async(held["id"])
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await getattr(payments, f"{what}_async")(held["id"])
    assert in_state(refused) == "succeeded"
    assert (await account.intent(held["id"]))["amount_received"] == 1000


async def test_an_intent_without_a_hold_can_be_canceled(payments: PaymentIntentService) -> None:
    made = await payments.create_async({"amount": 100, "currency": "eur"})
    ended = await payments.cancel_async(made.id)
    assert (ended.status, ended.latest_charge, ended.cancellation_reason) == ("canceled", None, None)


async def test_the_reason_of_a_cancel_is_one_of_four(account: Sandbox, payments: PaymentIntentService) -> None:
    held = await account.authorize(1000, "eur")
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await payments.cancel_async(held["id"], {"cancellation_reason": "automatic"})
    assert (refused.value.http_status, refused.value.param) == (400, "cancellation_reason")
    assert (await account.intent(held["id"]))["status"] == "requires_capture"


@pytest.mark.parametrize("what", ["cancel", "capture"])
async def test_an_unknown_parameter_is_refused(account: Sandbox, raw: httpx.AsyncClient, what: str) -> None:
    held = await account.authorize(1000, "eur")
    answer = await raw.post(f"/v1/payment_intents/{held['id']}/{what}", data={"amount": "1"}, auth=(account.key, ""))
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "parameter_unknown"


@pytest.mark.parametrize(
    ("given", "param", "code"),
    [
        ({"currency": "eur"}, "amount", "parameter_missing"),
        ({"amount": "5"}, "currency", "parameter_missing"),
        ({"amount": "0", "currency": "eur"}, "amount", "parameter_invalid_integer"),
        ({"amount": "29.74", "currency": "eur"}, "amount", "parameter_invalid_integer"),
        ({"amount": "5", "currency": "euro"}, "currency", None),
        ({"amount": "5", "currency": "eur", "capture_method": "later"}, "capture_method", None),
        ({"amount": "5", "currency": "eur", "expand[]": "nonsense"}, "expand", None),
        ({"amount": "5", "currency": "eur", "customer": "cus_no"}, "customer", "resource_missing"),
        ({"amount": "5", "currency": "eur", "payment_method": "pm_no"}, "payment_method", "resource_missing"),
    ],
)
async def test_a_bad_parameter_makes_no_intent(
    account: Sandbox, raw: httpx.AsyncClient, given: dict[str, str], param: str, code: str | None
) -> None:
    answer = await raw.post("/v1/payment_intents", data=given, auth=(account.key, ""))
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["type"], error["param"], error.get("code")) == ("invalid_request_error", param, code)
    assert await account.ledger() == {}


@pytest.mark.parametrize("what", ["retrieve", "cancel", "capture", "confirm"])
async def test_an_unknown_intent_is_missing(payments: PaymentIntentService, what: str) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await getattr(payments, f"{what}_async")("pi_nobody")
    assert (refused.value.http_status, refused.value.code) == (404, "resource_missing")


async def test_a_declined_card_sends_the_intent_back_for_another(payments: PaymentIntentService) -> None:
    with pytest.raises(stripe.CardError) as refused:
        await payments.create_async({**HOLD, "payment_method": "pm_card_chargeDeclined"})  # type: ignore[typeddict-item]
    assert (refused.value.http_status, refused.value.code) == (402, "card_declined")
    assert refused.value.error is not None
    assert refused.value.error.decline_code == "generic_decline"
    intent_id = refused.value.error.payment_intent.id  # type: ignore[union-attr]
    intent = await payments.retrieve_async(intent_id)
    assert (intent.status, intent.payment_method) == ("requires_payment_method", None)
    assert intent.last_payment_error.code == "card_declined"  # type: ignore[union-attr]
    assert (await payments.confirm_async(intent_id, {"payment_method": "pm_card_visa"})).status == "requires_capture"


@pytest.mark.parametrize(("passed", "status"), [(True, "requires_capture"), (False, "requires_payment_method")])
async def test_a_card_that_asks_for_authentication_waits_for_its_holder(
    account: Sandbox, passed: bool, status: str
) -> None:
    made = await account.authorize(1000, "eur", payment_method="pm_card_authenticationRequired")
    assert (made["status"], made["next_action"]["type"]) == ("requires_action", "use_stripe_sdk")
    assert (await account.authenticate(made["id"], passed=passed))["status"] == status


async def test_a_card_that_asks_for_authentication_fails_without_its_holder(payments: PaymentIntentService) -> None:
    with pytest.raises(stripe.CardError) as refused:
        await payments.create_async(
            {**HOLD, "payment_method": "pm_card_authenticationRequired", "off_session": True}  # type: ignore[typeddict-item]
        )
    assert refused.value.code == "authentication_required"


async def test_the_amount_can_change_until_it_is_authorized(account: Sandbox, payments: PaymentIntentService) -> None:
    made = await payments.create_async({"amount": 100, "currency": "eur"})
    assert (await payments.update_async(made.id, {"amount": 250})).amount == 250
    held = await account.authorize(1000, "eur")
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await payments.update_async(held["id"], {"amount": 1})
    assert in_state(refused) == "requires_capture"


async def test_metadata_is_merged_and_unset_by_empty_values(account: Sandbox, payments: PaymentIntentService) -> None:
    held = await account.authorize(1000, "eur", metadata={"session_id": "payses_1", "note": "x"})
    changed = await payments.update_async(held["id"], {"metadata": {"note": "", "order": "7"}})
    assert changed.metadata.to_dict() == {"session_id": "payses_1", "order": "7"}
    assert (await payments.update_async(held["id"], {"metadata": ""})).metadata.to_dict() == {}


async def test_lists_go_newest_first_page_by_page(account: Sandbox, payments: PaymentIntentService) -> None:
    made = [(await account.authorize(amount, "eur"))["id"] for amount in (100, 200, 300)]
    first = await payments.list_async({"limit": 2})
    assert ([intent.id for intent in first.data], first.has_more) == ([made[2], made[1]], True)
    rest = await payments.list_async({"limit": 2, "starting_after": made[1]})
    assert ([intent.id for intent in rest.data], rest.has_more) == ([made[0]], False)
