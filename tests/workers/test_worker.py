"""A real dramatiq worker: it starts, takes messages, shares the work, and stops politely."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import pytest
from msgspec.structs import astuple, replace

from app.domain.jobs import JobKind, JobRef
from app.embedded.valkey import Valkey
from app.gateways.redis_client import connect
from app.gateways.redis_wakeup import RedisWakeup
from app.ports import Services
from app.runtime import NotReady
from app.settings import Settings
from tests.usecases.hand import Hand, opened
from tests.world import Shop, eventually, make_due, settings_for, working
from workers.actors import declare_actors
from workers.broker import QUEUES, make_broker
from workers.main import WorkerProcess
from workers.relay import open_relay

PROC = Path("/proc/self")


async def test_messages_sent_many_times_capture_once(shop: Shop, settings: Settings) -> None:
    order = await shop.place()
    async with opened(settings) as services:
        hand = Hand(services, shop)
        await hand.schedule(order, JobKind.CAPTURE)
        ref = await hand.queue(order, JobKind.CAPTURE)
        stale = replace(ref, generation=ref.generation - 1)
        nonsense = replace(ref, id=f"{0:026d}", order_id="order_of_nobody")
        await _send(settings, hand, JobKind.CAPTURE, [stale, ref, ref, nonsense, ref, stale, ref])
        async with working(settings):
            await eventually(lambda: _state_is(shop, "done"))
            await _send(settings, hand, JobKind.CAPTURE, [ref, stale, ref])
            await _send(settings, hand, JobKind.VOID, [ref])
            await eventually(lambda: _queues_are_empty(settings, hand))
            await asyncio.sleep(0.2)
    assert len(await shop.calls(order, "capture")) == 1
    assert await shop.calls(order, "cancel") == []
    row = await shop.row("select attempts, state from grace.jobs where kind = 'capture'")
    assert tuple(row) == (1, "done")


async def test_a_stop_lets_a_running_job_finish(shop: Shop, settings: Settings) -> None:
    order = await shop.place()
    await shop.sandbox.fault("payment_intents.capture", "delay", seconds=1.5)
    async with working(settings):
        await eventually(lambda: shop.job(order, JobKind.CAPTURE))
        await make_due(shop, order)
        await eventually(lambda: _state_is(shop, "running"))
        stopping_since = time.monotonic()
    took = time.monotonic() - stopping_since
    assert await _state_is(shop, "done"), "the stop cut the job off"
    assert (await shop.payment(order))["captured_at"] is not None
    assert 0.5 < took < 10


async def test_what_a_stopped_worker_left_in_the_queue_is_taken_by_the_next(shop: Shop, settings: Settings) -> None:
    """Stopped as soon as it has started, it may have fetched messages that it never began."""
    orders = [await shop.place() for _ in range(12)]
    async with opened(settings) as services:
        hand = Hand(services, shop)
        for order in orders:
            await hand.schedule(order, JobKind.CAPTURE)
        await _send(settings, hand, JobKind.CAPTURE, [await hand.queue(order, JobKind.CAPTURE) for order in orders])
        async with working(settings):
            pass
        async with working(settings):
            done = "select count(*) from grace.jobs where kind = 'capture' and state = 'done'"
            await eventually(lambda: _is(shop, done, len(orders)), within=8)
    assert [len(await shop.calls(order, "capture")) for order in orders] == [1] * len(orders)


async def test_two_relays_share_the_work(shop: Shop, settings: Settings) -> None:
    """One in the worker, and one of a worker elsewhere whose messages the first one's threads take."""
    orders = [await shop.place() for _ in range(20)]
    async with _relay_elsewhere(settings, shop) as services, working(settings):
        hand = Hand(services, shop)
        for order in orders[:10]:
            await eventually(partial(shop.job, order, JobKind.CAPTURE))
            await make_due(shop, order)
        for order in orders[10:]:
            await hand.cancel(order)
        done = "select count(*) from grace.jobs where kind in ('capture', 'void', 'release') and state = 'done'"
        await eventually(lambda: _is(shop, done, 30), within=20)
    ledger = await shop.sandbox.ledger()
    assert [ledger[order.intent_ids[0]].captures for order in orders] == [1] * 10 + [0] * 10
    assert [ledger[order.intent_ids[0]].voids for order in orders] == [0] * 10 + [1] * 10
    assert [len(await shop.calls(order, "capture")) for order in orders[:10]] == [1] * 10
    assert await shop.conn.fetchval("select max(attempts) from grace.jobs where kind in ('capture', 'void')") == 1
    assert await shop.conn.fetchval("select sum(reserved_quantity) from inventory_level") == 10


async def test_a_worker_that_cannot_start_says_why_and_leaves_room_for_the_next(
    shop: Shop, settings: Settings, database: str, redis_url: str
) -> None:
    nowhere = settings_for(f"{database}_of_nobody", redis_url, shop.sandbox)
    process = WorkerProcess(nowhere)
    with pytest.raises(NotReady, match="of_nobody"):
        await asyncio.to_thread(process.start)
    order = await shop.place()
    async with working(settings):
        await eventually(lambda: shop.job(order, JobKind.CAPTURE))


@pytest.mark.skipif(not PROC.exists(), reason="connections are counted in /proc")
async def test_a_stopped_worker_has_hung_up(shop: Shop, database: str, redis_url: str, own_valkey: Valkey) -> None:
    settings = settings_for(database, own_valkey.url(), shop.sandbox, MEDUSA_REDIS_URL=redis_url)
    process = WorkerProcess(settings)
    await asyncio.to_thread(process.start)
    at_work = _connected_to(own_valkey.port)
    await asyncio.to_thread(process.stop)
    assert at_work > 0
    assert _connected_to(own_valkey.port) == 0


async def test_a_knock_is_answered_before_the_next_poll(
    shop: Shop, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.relay.POLL", 60.0)
    order = await shop.place()
    async with opened(settings) as services, working(settings):
        await eventually(lambda: shop.job(order, JobKind.CAPTURE))
        await Hand(services, shop).cancel(order)

        async def voided() -> bool:
            await services.wakeup.wake()
            return await _is(shop, "select state from grace.jobs where kind = 'void'", "done")

        await eventually(voided, within=20)


async def _send(settings: Settings, hand: Hand, kind: JobKind, refs: list[JobRef]) -> None:
    broker = make_broker(settings.redis_url)
    broker.join_installation(await hand.redis_keys())
    actors = declare_actors(broker, lambda: hand.services)
    for ref in refs:
        broker.enqueue(actors[kind].message(*astuple(ref)))
    broker.client.connection_pool.disconnect()


@asynccontextmanager
async def _relay_elsewhere(settings: Settings, shop: Shop) -> AsyncIterator[Services]:
    redis = connect(settings.redis_url)
    broker = make_broker(settings.redis_url)
    async with opened(settings) as services:
        keys = await Hand(services, shop).redis_keys()
        broker.join_installation(keys)
        actors = declare_actors(broker, lambda: services)
        relay = await open_relay(services, broker, actors, RedisWakeup(redis, keys), here_at_once=4)
        yield services
        await relay.stop()
    broker.client.connection_pool.disconnect()
    await redis.aclose()


def _connected_to(port: int) -> int:
    """How many connections this process has to a port of this machine."""
    own = set()
    for path in PROC.joinpath("fd").iterdir():
        with suppress(OSError):
            own.add(str(path.readlink()))
    lines = [line.split() for line in PROC.joinpath("net/tcp").read_text().splitlines()[1:]]
    return sum(line[2].endswith(f":{port:04X}") and f"socket:[{line[9]}]" in own for line in lines)


async def _queues_are_empty(settings: Settings, hand: Hand) -> bool:
    namespace = (await hand.redis_keys()).jobs
    async with connect(settings.redis_url) as redis:
        return not [name for name in QUEUES.values() if await redis.llen(f"{namespace}:{name}")]


async def _state_is(shop: Shop, state: str) -> bool:
    return await _is(shop, "select state from grace.jobs where kind = 'capture'", state)


async def _is(shop: Shop, query: str, value: object) -> bool:
    return bool(await shop.conn.fetchval(query) == value)
