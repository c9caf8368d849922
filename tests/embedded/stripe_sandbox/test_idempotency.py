"""One key, one result (docs.stripe.com/api/idempotent_requests)."""

import asyncio
from datetime import timedelta
from uuid import uuid4

import httpx
import pytest
import stripe
from stripe import PaymentIntentService

from app.embedded.stripe_sandbox.client import Sandbox
from tests.embedded.stripe_sandbox.conftest import Connect, code_of

pytestmark = pytest.mark.tools


async def cancel(raw: httpx.AsyncClient, account: Sandbox, intent_id: str, key: str, **form: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {account.key}", "Idempotency-Key": key}
    return await raw.post(f"/v1/payment_intents/{intent_id}/cancel", data=form, headers=headers)


async def test_the_same_request_again_gets_the_same_answer(account: Sandbox, raw: httpx.AsyncClient) -> None:
    held = await account.authorize(1000, "eur")
    first = await cancel(raw, account, held["id"], "void:1")
    again = await cancel(raw, account, held["id"], "void:1")
    assert first.content == again.content
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["original-request"] == first.headers["request-id"] != again.headers["request-id"]
    assert (await account.ledger())[held["id"]].voids == 1
    assert [seen["replayed"] for seen in await account.requests("payment_intents.cancel")] == [False, True]


async def test_a_replay_tells_the_past(account: Sandbox, payments: PaymentIntentService) -> None:
    made = await payments.create_async({"amount": 5, "currency": "eur"}, {"idempotency_key": "create:1"})
    await payments.cancel_async(made.id)
    again = await payments.create_async({"amount": 5, "currency": "eur"}, {"idempotency_key": "create:1"})
    assert (again.id, again.status) == (made.id, "requires_payment_method")


async def test_a_key_is_for_one_set_of_parameters(account: Sandbox, payments: PaymentIntentService) -> None:
    held = await account.authorize(1000, "eur")
    await payments.cancel_async(held["id"], {}, {"idempotency_key": "void:1"})
    with pytest.raises(stripe.IdempotencyError) as refused:
        await payments.cancel_async(held["id"], {"cancellation_reason": "duplicate"}, {"idempotency_key": "void:1"})
    assert refused.value.http_status == 400


async def test_a_key_is_for_one_endpoint(account: Sandbox, payments: PaymentIntentService) -> None:
    held, other = await account.authorize(1000, "eur"), await account.authorize(1000, "eur")
    await payments.cancel_async(held["id"], {}, {"idempotency_key": "void:1"})
    with pytest.raises(stripe.IdempotencyError):
        await payments.cancel_async(other["id"], {}, {"idempotency_key": "void:1"})
    with pytest.raises(stripe.IdempotencyError):
        await payments.capture_async(held["id"], {}, {"idempotency_key": "void:1"})
    assert (await account.intent(other["id"]))["status"] == "requires_capture"


async def test_a_key_in_flight_conflicts(account: Sandbox, payments: PaymentIntentService) -> None:
    held = await account.authorize(1000, "eur")
    await account.fault("payment_intents.cancel", "delay", seconds=0.5)
    first = asyncio.create_task(payments.cancel_async(held["id"], {}, {"idempotency_key": "void:1"}))
    await asyncio.sleep(0.2)
    with pytest.raises(stripe.APIError) as refused:
        await payments.cancel_async(held["id"], {}, {"idempotency_key": "void:1"})
    assert refused.value.http_status == 409
    assert code_of(refused.value) == "idempotency_key_in_use"
    assert (await first).status == "canceled"
    assert (await payments.cancel_async(held["id"], {}, {"idempotency_key": "void:1"})).status == "canceled"


async def test_a_500_is_saved(account: Sandbox, payments: PaymentIntentService) -> None:
    held = await account.authorize(1000, "eur")
    await account.fault("payment_intents.cancel", "error_saved")
    for _ in range(3):
        with pytest.raises(stripe.APIError) as refused:
            await payments.cancel_async(held["id"], {}, {"idempotency_key": "void:1"})
        assert refused.value.http_status == 500
    assert (await payments.cancel_async(held["id"], {}, {"idempotency_key": "void:2"})).status == "canceled"


async def test_a_refusal_by_state_is_saved(account: Sandbox, payments: PaymentIntentService) -> None:
    made = await payments.create_async({"amount": 5, "currency": "eur", "capture_method": "manual"})
    for _ in range(2):
        with pytest.raises(stripe.InvalidRequestError) as refused:
            await payments.capture_async(made.id, {}, {"idempotency_key": "capture:1"})
        await payments.confirm_async(made.id, {"payment_method": "pm_card_visa"}, {"idempotency_key": "confirm:1"})
    assert refused.value.headers is not None
    assert refused.value.headers["idempotent-replayed"] == "true"
    assert (await payments.capture_async(made.id, {}, {"idempotency_key": "capture:2"})).status == "succeeded"


async def test_a_decline_is_saved(payments: PaymentIntentService) -> None:
    made = await payments.create_async({"amount": 5, "currency": "eur"})
    for replayed in (None, "true"):
        with pytest.raises(stripe.CardError) as refused:
            await payments.confirm_async(
                made.id, {"payment_method": "pm_card_chargeDeclined"}, {"idempotency_key": "confirm:1"}
            )
        assert refused.value.headers is not None
        assert refused.value.headers.get("idempotent-replayed") == replayed


async def test_a_bad_parameter_does_not_use_up_the_key(account: Sandbox, raw: httpx.AsyncClient) -> None:
    held = await account.authorize(1000, "eur")
    refused = await cancel(raw, account, held["id"], "void:1", cancellation_reason="because")
    assert refused.status_code == 400
    assert (await cancel(raw, account, held["id"], "void:1")).json()["status"] == "canceled"


async def test_a_rate_limit_does_not_use_up_the_key(account: Sandbox, payments: PaymentIntentService) -> None:
    held = await account.authorize(1000, "eur")
    await account.fault("payment_intents.cancel", "error", status=429)
    with pytest.raises(stripe.RateLimitError) as refused:
        await payments.cancel_async(held["id"], {}, {"idempotency_key": "void:1"})
    assert code_of(refused.value) == "rate_limit"
    assert (await payments.cancel_async(held["id"], {}, {"idempotency_key": "void:1"})).status == "canceled"


async def test_a_missing_key_does_not_use_up_the_idempotency_key(account: Sandbox, raw: httpx.AsyncClient) -> None:
    held = await account.authorize(1000, "eur")
    refused = await raw.post(f"/v1/payment_intents/{held['id']}/cancel", headers={"Idempotency-Key": "void:1"})
    assert refused.status_code == 401
    assert (await cancel(raw, account, held["id"], "void:1")).status_code == 200


async def test_every_account_has_its_own_keys(account: Sandbox, connect: Connect) -> None:
    theirs = Sandbox(account.url, f"sk_test_{uuid4().hex}")
    for one in (account, theirs):
        held = await one.authorize(1000, "eur")
        ended = await connect(one.key).v1.payment_intents.cancel_async(held["id"], {}, {"idempotency_key": "void:1"})
        assert ended.status == "canceled"


async def test_a_key_is_forgotten_after_a_day(account: Sandbox, payments: PaymentIntentService) -> None:
    first = await payments.create_async({"amount": 5, "currency": "eur"}, {"idempotency_key": "create:1"})
    await account.advance(timedelta(hours=23))
    again = await payments.create_async({"amount": 5, "currency": "eur"}, {"idempotency_key": "create:1"})
    assert again.id == first.id
    await account.advance(timedelta(hours=2))
    anew = await payments.create_async({"amount": 5, "currency": "eur"}, {"idempotency_key": "create:1"})
    assert anew.id != first.id


async def test_a_key_has_at_most_255_characters(account: Sandbox, raw: httpx.AsyncClient) -> None:
    held = await account.authorize(1000, "eur")
    assert (await cancel(raw, account, held["id"], "k" * 256)).status_code == 400
    assert (await cancel(raw, account, held["id"], "k" * 255)).status_code == 200


async def test_reading_needs_no_key_and_saves_nothing(account: Sandbox, raw: httpx.AsyncClient) -> None:
    held = await account.authorize(1000, "eur")
    headers = {"Authorization": f"Bearer {account.key}", "Idempotency-Key": "read:1"}
    await raw.get(f"/v1/payment_intents/{held['id']}", headers=headers)
    await account.lapse(held["id"])
    assert (await raw.get(f"/v1/payment_intents/{held['id']}", headers=headers)).json()["status"] == "canceled"
