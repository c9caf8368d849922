"""Events: what is told, signed how, how often and in which order (docs.stripe.com/webhooks)."""

import httpx
import pytest
import stripe
from stripe import PaymentIntentService, RefundService

from app.embedded.stripe_sandbox.client import Sandbox
from tests.embedded.stripe_sandbox.conftest import Connect
from tests.embedded.stripe_sandbox.mailbox import Mailbox

pytestmark = pytest.mark.tools


SECRET = "whsec_test"


async def test_deliveries_are_signed(account: Sandbox, mailbox: Mailbox) -> None:
    await account.webhook(mailbox.url, SECRET, ["payment_intent.amount_capturable_updated"])
    held = await account.authorize(1000, "eur", metadata={"session_id": "payses_1"})
    await mailbox.wait_for(1)
    headers, body = mailbox.arrived[0]
    event = stripe.Webhook.construct_event(body, headers["stripe-signature"], SECRET)
    assert event.type == "payment_intent.amount_capturable_updated"
    assert event.data.object["id"] == held["id"]
    assert event.data.object["metadata"]["session_id"] == "payses_1"
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.Webhook.construct_event(body, headers["stripe-signature"], "whsec_other")


async def told(mailbox: Mailbox, count: int) -> list[str]:
    return [event["type"] for event in await mailbox.wait_for(count)]


async def test_a_hold_and_its_capture_are_told(
    account: Sandbox, mailbox: Mailbox, payments: PaymentIntentService
) -> None:
    await account.webhook(mailbox.url, SECRET)
    held = await account.authorize(1000, "eur")
    await payments.capture_async(held["id"])
    assert await told(mailbox, 5) == [
        "payment_intent.created",
        "charge.succeeded",
        "payment_intent.amount_capturable_updated",
        "charge.captured",
        "payment_intent.succeeded",
    ]


async def test_a_void_is_told_as_a_refund_and_a_cancel(
    account: Sandbox, mailbox: Mailbox, payments: PaymentIntentService
) -> None:
    held = await account.authorize(1000, "eur")
    await account.webhook(mailbox.url, SECRET)
    await payments.cancel_async(held["id"])
    assert await told(mailbox, 2) == ["charge.refunded", "payment_intent.canceled"]
    charge = (await mailbox.wait_for(2))[0]["data"]["object"]
    assert (charge["captured"], charge["amount_refunded"]) == (False, 1000)


async def test_a_refund_is_told(account: Sandbox, mailbox: Mailbox, refunds: RefundService) -> None:
    taken = await account.authorize(1000, "eur", capture_method="automatic")
    await account.webhook(mailbox.url, SECRET)
    await refunds.create_async({"payment_intent": taken["id"]})
    assert await told(mailbox, 2) == ["refund.created", "charge.refunded"]


async def test_a_decline_is_told(account: Sandbox, mailbox: Mailbox, payments: PaymentIntentService) -> None:
    await account.webhook(mailbox.url, SECRET)
    made = await payments.create_async({"amount": 5, "currency": "eur"})
    with pytest.raises(stripe.CardError):
        await payments.confirm_async(made.id, {"payment_method": "pm_card_chargeDeclined"})
    assert (await told(mailbox, 3))[1:] == ["charge.failed", "payment_intent.payment_failed"]


async def test_an_event_carries_the_object_as_it_was(
    account: Sandbox, connect: Connect, mailbox: Mailbox, payments: PaymentIntentService
) -> None:
    await account.webhook(mailbox.url, SECRET, ["payment_intent.created"])
    held = await account.authorize(1000, "eur")
    await payments.cancel_async(held["id"])
    (event,) = await mailbox.wait_for(1)
    assert event["data"]["object"]["status"] == "requires_confirmation"
    again = await connect().v1.events.retrieve_async(event["id"])
    assert again.data.object["status"] == "requires_confirmation"


async def test_an_event_names_the_request_that_caused_it(
    account: Sandbox, mailbox: Mailbox, payments: PaymentIntentService
) -> None:
    held = await account.authorize(1000, "eur")
    await account.webhook(mailbox.url, SECRET, ["payment_intent.canceled"])
    await payments.cancel_async(held["id"], {}, {"idempotency_key": "void:1"})
    (event,) = await mailbox.wait_for(1)
    (seen,) = await account.requests("payment_intents.cancel")
    assert event["request"] == {"id": seen["request_id"], "idempotency_key": "void:1"}


async def test_a_replay_is_not_told_again(account: Sandbox, connect: Connect, payments: PaymentIntentService) -> None:
    held = await account.authorize(1000, "eur")
    for _ in range(2):
        await payments.cancel_async(held["id"], {}, {"idempotency_key": "void:1"})
    events = await connect().v1.events.list_async({"type": "payment_intent.canceled"})
    assert len(events.data) == 1


async def test_an_event_can_come_twice(account: Sandbox, mailbox: Mailbox) -> None:
    await account.webhook(mailbox.url, SECRET, ["payment_intent.created"])
    await account.duplicate_webhooks(3)
    await account.authorize(1000, "eur")
    events = await mailbox.wait_for(3)
    assert len({event["id"] for event in events}) == 1


async def test_events_can_come_late_and_in_another_order(
    account: Sandbox, mailbox: Mailbox, payments: PaymentIntentService
) -> None:
    await account.webhook(mailbox.url, SECRET, ["payment_intent.created", "payment_intent.canceled"])
    await account.hold_webhooks()
    held = await account.authorize(1000, "eur")
    await payments.cancel_async(held["id"])
    assert mailbox.arrived == []
    assert await account.release_webhooks("reversed") > 0
    assert await told(mailbox, 2) == ["payment_intent.canceled", "payment_intent.created"]
    await account.authorize(1000, "eur")
    await mailbox.wait_for(3)


async def test_an_event_that_was_not_taken_comes_again(account: Sandbox, mailbox: Mailbox) -> None:
    mailbox.answers = [500, 500]
    await account.webhook(mailbox.url, SECRET, ["payment_intent.created"])
    await account.authorize(1000, "eur")
    events = await mailbox.wait_for(3)
    assert len({event["id"] for event in events}) == 1
    (delivery,) = await account.deliveries()
    assert delivery["attempts"] == 3


async def test_another_account_is_not_told(account: Sandbox, mailbox: Mailbox, raw: httpx.AsyncClient) -> None:
    await account.webhook(mailbox.url, SECRET)
    await Sandbox(account.url, "sk_test_somebody_else").authorize(1000, "eur")
    await account.authorize(1000, "eur")
    events = await mailbox.wait_for(3)
    mine = set(await account.ledger())
    assert {event["data"]["object"].get("payment_intent", event["data"]["object"]["id"]) for event in events} == mine
