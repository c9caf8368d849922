"""Every failure on demand, and what it leaves behind."""

import asyncio
import time

import httpx
import pytest
import stripe
from stripe import PaymentIntentService

from app.embedded.stripe_sandbox.client import Sandbox
from tests.embedded.stripe_sandbox.conftest import Connect, code_of

pytestmark = pytest.mark.tools


CANCEL = "payment_intents.cancel"


async def state(account: Sandbox, intent_id: str) -> str:
    return str((await account.intent(intent_id))["status"])


async def test_error_does_nothing_and_saves_nothing(account: Sandbox, payments: PaymentIntentService) -> None:
    held = await account.authorize(1000, "eur")
    await account.fault(CANCEL, "error", status=503, code="down", type="api_error", headers={"X-Told": "yes"})
    with pytest.raises(stripe.APIError) as refused:
        await payments.cancel_async(held["id"], {}, {"idempotency_key": "void:1"})
    assert (refused.value.http_status, code_of(refused.value)) == (503, "down")
    assert refused.value.headers is not None
    assert refused.value.headers["x-told"] == "yes"
    assert await state(account, held["id"]) == "requires_capture"
    assert (await payments.cancel_async(held["id"], {}, {"idempotency_key": "void:1"})).status == "canceled"


async def test_error_after_does_the_work_and_replays_the_error(account: Sandbox, connect: Connect) -> None:
    held = await account.authorize(1000, "eur")
    await account.fault(CANCEL, "error_after")
    with pytest.raises(stripe.APIError) as refused:
        await connect(retries=2).v1.payment_intents.cancel_async(held["id"], {}, {"idempotency_key": "void:1"})
    assert refused.value.http_status == 500
    assert await state(account, held["id"]) == "canceled"
    seen = await account.requests(CANCEL)
    assert [(one["status"], one["executed"], one["replayed"]) for one in seen] == [
        (500, True, False),
        (500, False, True),
        (500, False, True),
    ]


async def test_timeout_does_nothing_and_hangs(account: Sandbox, connect: Connect) -> None:
    held = await account.authorize(1000, "eur")
    await account.fault(CANCEL, "timeout")
    with pytest.raises(stripe.APIConnectionError):
        await connect(timeout=0.3).v1.payment_intents.cancel_async(held["id"])
    assert await state(account, held["id"]) == "requires_capture"
    assert [(one["fault"], one["status"], one["executed"]) for one in await account.requests(CANCEL)] == [
        ("timeout", None, False)
    ]


async def test_timeout_after_does_the_work_and_hangs(account: Sandbox, connect: Connect) -> None:
    held = await account.authorize(1000, "eur")
    await account.fault(CANCEL, "timeout_after")
    payments = connect(timeout=0.3).v1.payment_intents
    with pytest.raises(stripe.APIConnectionError):
        await payments.cancel_async(held["id"], {}, {"idempotency_key": "void:1"})
    assert await state(account, held["id"]) == "canceled"
    assert (await payments.cancel_async(held["id"], {}, {"idempotency_key": "void:1"})).status == "canceled"
    with pytest.raises(stripe.InvalidRequestError):
        await payments.cancel_async(held["id"], {}, {"idempotency_key": "void:2"})


async def test_a_hang_ends_in_a_closed_connection(account: Sandbox, raw: httpx.AsyncClient) -> None:
    await account.fault("*", "timeout", seconds=0.2)
    started = time.monotonic()
    with pytest.raises(httpx.RemoteProtocolError):
        await raw.get("/v1/events", auth=(account.key, ""))
    assert 0.15 < time.monotonic() - started < 2


async def test_reset_does_nothing_and_resets_the_connection(account: Sandbox, raw: httpx.AsyncClient) -> None:
    held = await account.authorize(1000, "eur")
    await account.fault(CANCEL, "reset")
    with pytest.raises(httpx.ReadError) as failure:
        await raw.post(f"/v1/payment_intents/{held['id']}/cancel", auth=(account.key, ""))
    assert isinstance(root(failure.value), ConnectionResetError)
    assert await state(account, held["id"]) == "requires_capture"


async def test_drop_after_does_the_work_and_the_client_can_ask_again(account: Sandbox, connect: Connect) -> None:
    held = await account.authorize(1000, "eur")
    await account.fault(CANCEL, "drop_after")
    assert (await connect(retries=1).v1.payment_intents.cancel_async(held["id"])).status == "canceled"
    seen = await account.requests(CANCEL)
    assert [(one["status"], one["executed"], one["replayed"]) for one in seen] == [
        (None, True, False),
        (200, False, True),
    ]
    assert (await account.ledger())[held["id"]].voids == 1


async def test_delay_waits_and_then_does_the_work(account: Sandbox, payments: PaymentIntentService) -> None:
    held = await account.authorize(1000, "eur")
    await account.fault("payment_intents.capture", "delay", seconds=0.3)
    started = time.monotonic()
    assert (await payments.capture_async(held["id"])).status == "succeeded"
    assert time.monotonic() - started >= 0.3


async def test_delayed_work_is_done_though_nobody_waits_for_it(account: Sandbox, connect: Connect) -> None:
    held = await account.authorize(1000, "eur")
    await account.fault("payment_intents.capture", "delay", seconds=0.4)
    with pytest.raises(stripe.APIConnectionError):
        await connect(timeout=0.1).v1.payment_intents.capture_async(held["id"])
    assert await state(account, held["id"]) == "requires_capture"
    await asyncio.sleep(0.6)
    assert await state(account, held["id"]) == "succeeded"


async def test_two_at_once_on_one_object_meet_its_lock(account: Sandbox, payments: PaymentIntentService) -> None:
    held = await account.authorize(1000, "eur")
    other = await account.authorize(1000, "eur")
    await account.fault("payment_intents.capture", "delay", seconds=2)
    capture = asyncio.create_task(payments.capture_async(held["id"]))
    await asyncio.sleep(0.2)
    with pytest.raises(stripe.RateLimitError) as refused:
        await payments.cancel_async(held["id"], {}, {"idempotency_key": "void:1"})
    assert (refused.value.http_status, code_of(refused.value)) == (429, "lock_timeout")
    assert refused.value.error is not None
    assert refused.value.error.type == "invalid_request_error"
    assert (await payments.retrieve_async(held["id"])).status == "requires_capture"
    assert (await payments.cancel_async(other["id"])).status == "canceled"
    assert (await capture).status == "succeeded"
    with pytest.raises(stripe.InvalidRequestError) as late:
        await payments.cancel_async(held["id"], {}, {"idempotency_key": "void:1"})
    assert late.value.code == "payment_intent_unexpected_state"


async def test_a_fault_can_be_for_one_object(account: Sandbox, connect: Connect) -> None:
    held, other = await account.authorize(1000, "eur"), await account.authorize(1000, "eur", capture_method="automatic")
    await account.fault("*", "error", times=2, object_id=other["id"])
    client = connect()
    assert (await client.v1.payment_intents.retrieve_async(held["id"])).id == held["id"]
    with pytest.raises(stripe.APIError):
        await client.v1.payment_intents.retrieve_async(other["id"])
    with pytest.raises(stripe.APIError):
        await client.v1.refunds.create_async({"payment_intent": other["id"]})


async def test_a_fault_lasts_as_often_as_it_is_told(account: Sandbox, payments: PaymentIntentService) -> None:
    held = await account.authorize(1000, "eur")
    await account.fault("payment_intents.retrieve", "error", times=2)
    for _ in range(2):
        with pytest.raises(stripe.APIError):
            await payments.retrieve_async(held["id"])
    await payments.retrieve_async(held["id"])


async def test_a_fault_without_a_number_lasts_until_it_is_cleared(
    account: Sandbox, payments: PaymentIntentService
) -> None:
    held = await account.authorize(1000, "eur")
    await account.fault("payment_intents.retrieve", "error", times=None)
    for _ in range(5):
        with pytest.raises(stripe.APIError):
            await payments.retrieve_async(held["id"])
    await account.clear_faults()
    await payments.retrieve_async(held["id"])


async def test_the_network_fails_replays_too(account: Sandbox, payments: PaymentIntentService) -> None:
    held = await account.authorize(1000, "eur")
    await payments.cancel_async(held["id"], {}, {"idempotency_key": "void:1"})
    await account.fault(CANCEL, "error_after")
    await account.fault(CANCEL, "drop_after")
    with pytest.raises(stripe.APIConnectionError):
        await payments.cancel_async(held["id"], {}, {"idempotency_key": "void:1"})
    assert (await payments.cancel_async(held["id"], {}, {"idempotency_key": "void:1"})).status == "canceled"


async def test_latency_slows_every_request_but_not_the_controls(
    account: Sandbox, payments: PaymentIntentService
) -> None:
    held = await account.authorize(1000, "eur")
    await account.latency(0.2)
    started = time.monotonic()
    await asyncio.gather(*(payments.retrieve_async(held["id"]) for _ in range(5)))
    assert 0.2 <= time.monotonic() - started < 0.9


async def test_an_order_that_makes_no_sense_is_refused(account: Sandbox) -> None:
    with pytest.raises(RuntimeError, match="explode"):
        await account.fault(CANCEL, "explode")
    with pytest.raises(RuntimeError, match="unknown field"):
        await account.fault(CANCEL, "error", sometimes=True)


def root(error: BaseException) -> BaseException:
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__ or error
    return error
