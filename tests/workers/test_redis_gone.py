"""Redis dead, flushed or hung: the work is late by seconds, never lost, never doubled."""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import timedelta

import pytest
import redis

from app.domain.jobs import JobKind
from app.embedded.processes import free_port
from app.embedded.shop import PlacedOrder
from app.embedded.stripe_sandbox.client import Sandbox
from app.embedded.valkey import Valkey
from app.settings import Settings
from tests.usecases.hand import Hand, opened
from tests.world import Shop, eventually, make_due, settings_for, working

OPEN_JOBS = "select count(*) from grace.jobs where state not in ('done', 'removed')"


async def test_a_redis_that_was_never_there_stops_no_job(
    shop: Shop, database: str, redis_url: str, sandbox: Sandbox
) -> None:
    settings = _settings(database, f"redis://127.0.0.1:{free_port()}/0", redis_url, sandbox)
    captured, canceled = await shop.place(), await shop.place()
    began = time.monotonic()
    async with opened(settings) as services, working(settings):
        await eventually(lambda: shop.job(captured, JobKind.CAPTURE))
        await make_due(shop, captured)
        await Hand(services, shop).cancel(canceled)
        await eventually(lambda: _all_done(shop))
    assert time.monotonic() - began < 10
    await _is_captured_once(shop, captured)
    await _is_voided_and_released_once(shop, canceled)


async def test_fifty_orders_while_redis_is_killed_and_comes_back_empty(
    shop: Shop, database: str, redis_url: str, sandbox: Sandbox, own_valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.usecases.dispatch_jobs.LOST_AFTER", timedelta(seconds=3))
    settings = _settings(database, own_valkey.url(), redis_url, sandbox)
    orders = [await shop.place() for _ in range(50)]
    to_capture, to_cancel = orders[:25], orders[25:]
    await sandbox.latency(0.03)
    async with opened(settings) as services:
        hand = Hand(services, shop)
        for order in to_capture:
            await hand.schedule(order, JobKind.CAPTURE)
        for order in to_cancel:
            await hand.cancel(order)
        async with working(settings):
            await eventually(lambda: _some_done(shop, 10))
            own_valkey.kill()
            assert await shop.conn.fetchval(OPEN_JOBS) > 0, "Redis died too late to matter"
            await asyncio.sleep(0.5)
            own_valkey.restart()
            await eventually(lambda: _all_done(shop), within=60)

    for order in to_capture:
        await _is_captured_once(shop, order)
    for order in to_cancel:
        await _is_voided_and_released_once(shop, order)
    assert await shop.conn.fetchval("select count(*) from grace.incidents") == 0


async def test_a_flush_in_the_middle_loses_no_job(
    shop: Shop, database: str, redis_url: str, sandbox: Sandbox, own_valkey: Valkey
) -> None:
    """Messages of queued jobs vanish: the sweep notices within its ten seconds, here made to have passed."""
    settings = _settings(database, own_valkey.url(), redis_url, sandbox)
    orders = [await shop.place() for _ in range(5)]
    async with opened(settings) as services:
        hand = Hand(services, shop)
        for order in orders:
            await hand.schedule(order, JobKind.CAPTURE)
            await hand.queue(order, JobKind.CAPTURE)
    with redis.Redis.from_url(own_valkey.url()) as client:
        client.flushall()
    await shop.conn.execute("update grace.jobs set updated_at = now() - interval '11 seconds'")
    async with working(settings):
        await eventually(lambda: _all_done(shop))
    for order in orders:
        await _is_captured_once(shop, order)


async def test_a_redis_that_hangs_stops_no_job(
    shop: Shop, database: str, redis_url: str, sandbox: Sandbox, own_valkey: Valkey
) -> None:
    settings = _settings(database, own_valkey.url(), redis_url, sandbox)
    order = await shop.place()
    async with opened(settings) as services, working(settings):
        await eventually(lambda: shop.job(order, JobKind.CAPTURE))
        own_valkey.pause()
        began = time.monotonic()
        await Hand(services, shop).cancel(order)
        answered = time.monotonic() - began
        await eventually(lambda: _all_done(shop), within=20)
        own_valkey.resume()
    assert answered < 1.5, f"the cancel waited {answered:.1f} s for Redis"
    await _is_voided_and_released_once(shop, order)


async def test_a_dead_redis_does_not_hold_up_the_stop(
    shop: Shop, database: str, redis_url: str, sandbox: Sandbox, own_valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A message was taken before Redis died, and cannot be acknowledged: its row says all there is to say."""
    monkeypatch.setattr("workers.main.STOP_WITHIN", 4_000)
    settings = _settings(database, own_valkey.url(), redis_url, sandbox)
    order = await shop.place()
    await sandbox.fault("payment_intents.capture", "delay", seconds=0.7)
    async with working(settings):
        await eventually(lambda: shop.job(order, JobKind.CAPTURE))
        await make_due(shop, order)
        await eventually(lambda: _capture_is(shop, "running"))
        own_valkey.kill()
        await eventually(lambda: _capture_is(shop, "done"), within=20)
        stopping_since = time.monotonic()
    took = time.monotonic() - stopping_since
    own_valkey.restart()
    assert took < 3.5, f"the stop took {took:.1f} s"


async def test_a_dead_redis_raises_no_alarm_of_its_own(
    shop: Shop, database: str, redis_url: str, sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    """CRITICAL is the alarm of an incident; the work goes on without Redis."""
    settings = _settings(database, f"redis://127.0.0.1:{free_port()}/0", redis_url, sandbox)
    order = await shop.place()
    with caplog.at_level(logging.WARNING):
        async with working(settings):
            await eventually(lambda: shop.job(order, JobKind.CAPTURE))
    assert [record.name for record in caplog.records if record.levelno >= logging.CRITICAL] == []


def _settings(database: str, ours: str, medusas: str, sandbox: Sandbox) -> Settings:
    return settings_for(database, ours, sandbox, MEDUSA_REDIS_URL=medusas, VOID_WAIT_SECONDS="0")


async def _capture_is(shop: Shop, state: str) -> bool:
    return bool(await shop.conn.fetchval("select state = $1 from grace.jobs where kind = 'capture'", state))


async def _some_done(shop: Shop, count: int) -> bool:
    return bool(await shop.conn.fetchval("select count(*) >= $1 from grace.jobs where state = 'done'", count))


async def _all_done(shop: Shop) -> bool:
    return bool(await shop.conn.fetchval(f"select ({OPEN_JOBS}) = 0"))


async def _is_captured_once(shop: Shop, order: PlacedOrder) -> None:
    line = (await shop.sandbox.ledger())[order.intent_ids[0]]
    assert (line.captures, line.captured, line.voids) == (1, 2974, 0)
    assert len(await shop.calls(order, "capture")) == 1
    rows = await shop.conn.fetch("select id from capture where payment_id = $1", order.payment_ids[0])
    booked = await shop.conn.fetch("select id from order_transaction where order_id = $1", order.id)
    assert (len(rows), len(booked)) == (1, 1)


async def _is_voided_and_released_once(shop: Shop, order: PlacedOrder) -> None:
    line = (await shop.sandbox.ledger())[order.intent_ids[0]]
    assert (line.captures, line.voids) == (0, 1)
    assert len(await shop.calls(order, "cancel")) == 1
    reserved = await shop.conn.fetchval(
        "select reserved_quantity from inventory_level where id = $1", order.level_ids[0]
    )
    assert reserved == 0
