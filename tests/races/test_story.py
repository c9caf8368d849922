"""The story's three tests by name, and their mirror: on real Postgres and Valkey, with a real dramatiq worker."""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import UTC, datetime

import httpx
import pytest

from app.domain.jobs import JobKind
from app.settings import Settings
from tests.world import Api, Shop, eventually, make_due, stepping_in, working


async def test_photo_finish(shop: Shop, api: Api, settings: Settings) -> None:
    """The capture job has started and sleeps 1 s before its claim; a cancel 100 ms later wins."""
    order = await shop.place()
    started = asyncio.Event()
    loop = asyncio.get_running_loop()
    claims = []

    async def sleep_before_the_claim(name: str) -> None:
        if name == "capture.claim":
            loop.call_soon_threadsafe(started.set)
            await asyncio.sleep(1.0)
            claims.append(datetime.now(UTC))

    async with working(settings, stepping_in(sleep_before_the_claim)):
        await eventually(lambda: shop.job(order, JobKind.CAPTURE))
        await make_due(shop, order)
        await asyncio.wait_for(started.wait(), 5)
        await asyncio.sleep(0.1)
        answer = await api.cancel(order.id)
        await eventually(lambda: _true(claims))
        await asyncio.sleep(0.3)

    assert answer.status_code == 200
    assert answer.json() == {"order_id": order.id, "status": "canceled", "payment_action": "voided"}
    canceled_at = await shop.conn.fetchval('select canceled_at from "order" where id = $1', order.id)
    assert canceled_at < claims[0], "the cancel did not come before the claim"
    job = await shop.job(order, JobKind.CAPTURE)
    assert job is not None
    assert job["state"] == "removed"
    assert await shop.calls(order, "capture") == []
    assert (await shop.sandbox.intent(order.intent_ids[0]))["status"] == "canceled"
    assert await shop.status(order) == "canceled"


async def test_mirror_of_the_photo_finish(shop: Shop, api: Api, settings: Settings) -> None:
    """The capture is past its claim and waits for Stripe: the cancel is refused at once, and changes nothing."""
    order = await shop.place()
    await shop.sandbox.fault("payment_intents.capture", "delay", seconds=2)
    async with working(settings):
        await eventually(lambda: shop.job(order, JobKind.CAPTURE))
        await make_due(shop, order)
        await eventually(lambda: _job_is(shop, order, JobKind.CAPTURE, "running"))
        began = time.monotonic()
        answer = await api.cancel(order.id)
        took = time.monotonic() - began
        await eventually(lambda: _job_is(shop, order, JobKind.CAPTURE, "done"))
        afterwards = await api.cancel(order.id)

    assert took < 1, f"the refusal waited {took:.2f} s for Stripe"
    assert answer.status_code == 409
    assert answer.json() == {
        "code": "late_cancel",
        "type": "conflict",
        "message": "Order is already being processed. Please contact support for a refund.",
        "reason": "capture_in_flight",
    }
    assert afterwards.status_code == 409
    assert afterwards.json()["message"] == "Order already processed"
    assert await shop.status(order) == "pending"
    assert (await shop.payment(order))["captured_at"] is not None
    assert len(await shop.calls(order, "capture")) == 1
    assert await shop.calls(order, "cancel") == []


async def test_zombie_payment(shop: Shop, api: Api, settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    """The void fails: 200, order canceled, CRITICAL, incident. It heals when Stripe does."""
    order = await shop.place()
    await shop.sandbox.fault("payment_intents.cancel", "error", times=None, status=500)
    await shop.sandbox.fault("payment_intents.retrieve", "error", times=None, status=500)
    sentence = f"Order {order.id} Canceled but Payment Void Failed. Manual Void Required."
    with caplog.at_level(logging.CRITICAL):
        async with working(settings):
            answer = await api.cancel(order.id)
            assert answer.status_code == 200
            assert answer.json() == {"order_id": order.id, "status": "canceled", "payment_action": "void_failed"}
            assert await shop.status(order) == "canceled"
            assert await shop.incidents(order) == ["void_failed"]
            await eventually(lambda: _true(_criticals(caplog, sentence)))
            again = await api.cancel(order.id)
            assert again.json()["payment_action"] == "void_failed"

            await shop.sandbox.clear_faults()
            await eventually(lambda: _job_is(shop, order, JobKind.VOID, "done"), within=15)
            healed = await api.cancel(order.id)

    assert healed.json()["payment_action"] == "voided"
    assert await shop.incidents(order) == []
    assert await shop.incidents(order, open_only=False) == ["void_failed"]
    assert (await shop.sandbox.intent(order.intent_ids[0]))["status"] == "canceled"
    assert len(_criticals(caplog, sentence)) == 1, "a CRITICAL line for every retry, not one for the incident"


async def test_double_cancel(shop: Shop, api: Api, settings: Settings) -> None:
    """Two at once: one cancels, one answers "Already canceled", and Stripe is asked once."""
    order = await shop.place()
    async with working(settings):
        answers = await asyncio.gather(api.cancel(order.id), api.cancel(order.id))
        await eventually(lambda: _job_is(shop, order, JobKind.VOID, "done"))

    assert [answer.status_code for answer in answers] == [200, 200]
    assert sorted(_message(answer) for answer in answers) == ["", "Already canceled"]
    assert {answer.json()["status"] for answer in answers} == {"canceled"}
    assert len(await shop.calls(order, "cancel")) == 1
    assert (await shop.sandbox.intent(order.intent_ids[0]))["status"] == "canceled"


async def test_twenty_cancels_at_once(shop: Shop, api: Api, settings: Settings) -> None:
    order = await shop.place()
    async with working(settings):
        answers = await asyncio.gather(*(api.cancel(order.id) for _ in range(20)))
        await eventually(lambda: _job_is(shop, order, JobKind.VOID, "done"))

    assert {answer.status_code for answer in answers} == {200}
    assert sorted(_message(answer) for answer in answers) == ["", *["Already canceled"] * 19]
    assert len(await shop.calls(order, "cancel")) == 1


def _message(answer: httpx.Response) -> str:
    return str(answer.json().get("message", ""))


def _criticals(caplog: pytest.LogCaptureFixture, sentence: str) -> list[logging.LogRecord]:
    critical = [record for record in caplog.records if record.levelno == logging.CRITICAL]
    return [record for record in critical if sentence in str(record.msg)]


async def _job_is(shop: Shop, order: object, kind: JobKind, state: str) -> bool:
    job = await shop.job(order, kind)  # type: ignore[arg-type]
    return job is not None and job["state"] == state


async def _true(value: object) -> bool:
    return bool(value)
