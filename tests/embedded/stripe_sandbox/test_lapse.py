"""Authorizations do not last (docs.stripe.com/payments/place-a-hold-on-a-payment-method)."""

from datetime import timedelta

import pytest
import stripe
from stripe import PaymentIntentService

from app.embedded.stripe_sandbox.client import Sandbox
from tests.embedded.stripe_sandbox.conftest import Connect

pytestmark = pytest.mark.tools


async def test_a_hold_lasts_seven_days_and_no_longer(account: Sandbox, payments: PaymentIntentService) -> None:
    held = await account.authorize(1000, "eur")
    await account.advance(timedelta(days=7, minutes=-1))
    assert (await payments.retrieve_async(held["id"])).status == "requires_capture"
    await account.advance(timedelta(minutes=2))
    lapsed = await payments.retrieve_async(held["id"])
    assert (lapsed.status, lapsed.cancellation_reason, lapsed.amount_capturable) == ("canceled", "automatic", 0)
    assert lapsed.canceled_at == held["created"] + 7 * 24 * 3600


@pytest.mark.parametrize("what", ["capture", "cancel"])
async def test_a_lapsed_hold_is_gone(account: Sandbox, payments: PaymentIntentService, what: str) -> None:
    held = await account.authorize(1000, "eur")
    await account.lapse(held["id"])
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await getattr(payments, f"{what}_async")(held["id"])
    assert refused.value.code == "payment_intent_unexpected_state"
    intent = refused.value.error.payment_intent  # type: ignore[union-attr]
    assert (intent.status, intent.cancellation_reason) == ("canceled", "automatic")  # type: ignore[union-attr]


async def test_a_lapse_is_told_as_an_expired_charge(account: Sandbox, connect: Connect) -> None:
    held = await account.authorize(1000, "eur")
    await account.advance(timedelta(days=8))
    client = connect()
    told = [event.type for event in (await client.v1.events.list_async()).data]
    assert told[:2] == ["payment_intent.canceled", "charge.expired"]
    listed = await client.v1.refunds.list_async({"payment_intent": held["id"]})
    assert [refund.reason for refund in listed.data] == ["expired_uncaptured_charge"]


async def test_taken_money_does_not_lapse(account: Sandbox, payments: PaymentIntentService) -> None:
    held = await account.authorize(1000, "eur")
    await payments.capture_async(held["id"])
    await account.advance(timedelta(days=30))
    assert (await payments.retrieve_async(held["id"])).status == "succeeded"


async def test_only_a_hold_can_be_made_to_lapse(account: Sandbox) -> None:
    taken = await account.authorize(1000, "eur", capture_method="automatic")
    with pytest.raises(RuntimeError, match="requires_capture"):
        await account.lapse(taken["id"])
