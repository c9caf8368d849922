"""Giving money back (docs.stripe.com/api/refunds)."""

import pytest
import stripe
from stripe import PaymentIntentService, RefundService

from app.embedded.stripe_sandbox.client import Sandbox

pytestmark = pytest.mark.tools


async def test_a_refund_gives_back_everything_unless_told_otherwise(account: Sandbox, refunds: RefundService) -> None:
    taken = await account.authorize(1000, "eur", capture_method="automatic")
    made = await refunds.create_async({"payment_intent": taken["id"], "reason": "requested_by_customer"})
    assert (made.amount, made.status, made.reason) == (1000, "succeeded", "requested_by_customer")
    assert (made.payment_intent, made.charge) == (taken["id"], taken["latest_charge"])
    line = (await account.ledger())[taken["id"]]
    assert (line.captured, line.refunded, line.refunds) == (1000, 1000, 1)
    assert (await account.intent(taken["id"]))["status"] == "succeeded"


async def test_parts_are_refunded_until_nothing_is_left(account: Sandbox, refunds: RefundService) -> None:
    taken = await account.authorize(1000, "eur", capture_method="automatic")
    await refunds.create_async({"payment_intent": taken["id"], "amount": 300})
    await refunds.create_async({"charge": taken["latest_charge"], "amount": 700})
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await refunds.create_async({"payment_intent": taken["id"]})
    assert (refused.value.http_status, refused.value.code) == (400, "charge_already_refunded")
    assert (await account.ledger())[taken["id"]].refunded == 1000


async def test_more_than_is_left_cannot_be_refunded(account: Sandbox, refunds: RefundService) -> None:
    taken = await account.authorize(1000, "eur", capture_method="automatic")
    await refunds.create_async({"payment_intent": taken["id"], "amount": 800})
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await refunds.create_async({"payment_intent": taken["id"], "amount": 201})
    assert (refused.value.http_status, refused.value.param, refused.value.code) == (400, "amount", None)
    assert (await account.ledger())[taken["id"]].refunded == 800


async def test_after_a_partial_capture_only_what_was_taken_comes_back(
    account: Sandbox, payments: PaymentIntentService, refunds: RefundService
) -> None:
    held = await account.authorize(1000, "eur")
    await payments.capture_async(held["id"], {"amount_to_capture": 400})
    assert (await refunds.create_async({"payment_intent": held["id"]})).amount == 400
    line = (await account.ledger())[held["id"]]
    assert (line.captured, line.refunded) == (400, 400)


@pytest.mark.parametrize("canceled", [True, False])
async def test_a_hold_is_not_refunded(
    account: Sandbox, payments: PaymentIntentService, refunds: RefundService, canceled: bool
) -> None:
    held = await account.authorize(1000, "eur")
    if canceled:
        await payments.cancel_async(held["id"])
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await refunds.create_async({"payment_intent": held["id"]})
    assert (refused.value.http_status, refused.value.param) == (400, "payment_intent")
    assert (await account.ledger())[held["id"]].refunds == 0


async def test_refunds_can_be_read_again(account: Sandbox, refunds: RefundService) -> None:
    taken = await account.authorize(1000, "eur", capture_method="automatic")
    made = [
        await refunds.create_async({"payment_intent": taken["id"], "amount": 100, "metadata": {"order": "7"}})
        for _ in range(2)
    ]
    await account.authorize(1000, "eur", capture_method="automatic")
    listed = await refunds.list_async({"payment_intent": taken["id"]})
    assert [refund.id for refund in listed.data] == [made[1].id, made[0].id]
    again = await refunds.retrieve_async(made[0].id)
    assert again.amount == 100
    assert again.metadata is not None
    assert again.metadata.to_dict() == {"order": "7"}


async def test_a_refund_of_nothing_is_missing(refunds: RefundService) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await refunds.create_async({"payment_intent": "pi_nobody"})
    assert (refused.value.http_status, refused.value.code) == (404, "resource_missing")
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await refunds.create_async({"amount": 1})
    assert refused.value.http_status == 400
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await refunds.retrieve_async("re_nobody")
    assert refused.value.code == "resource_missing"
