"""Names that a shop chooses in its Medusa: the event bus' queue and prefix, the locks' namespace, where both live."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import structlog
from bullmq import Worker
from redis.asyncio import Redis

from app.doctor import run_doctor
from app.domain.jobs import JobKind
from app.embedded.stripe_sandbox.client import Sandbox
from app.embedded.valkey import Valkey
from app.ports import Event
from app.settings import Settings
from plugins.medusa_bridge import BridgeConfig, Locking, MedusaBridge
from tests.usecases.hand import Hand, opened
from tests.world import Shop, eventually, settings_for, working

NAMES = {
    "MEDUSA_EVENTS_QUEUE": "shop-events",
    "MEDUSA_EVENTS_PREFIX": "{shop}",
    "MEDUSA_LOCK_NAMESPACE": "shop:locks:",
}


@pytest.fixture
def named(database: str, redis_url: str, sandbox: Sandbox) -> Settings:
    """Beside a Medusa that has other names."""
    return settings_for(database, redis_url, sandbox, VOID_WAIT_SECONDS="0", **NAMES)


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    """Medusa's Redis, as Medusa sees it."""
    async with Redis.from_url(redis_url, decode_responses=True) as client:
        yield client


async def test_an_event_lands_where_medusa_reads(shop: Shop, named: Settings, redis_url: str, redis: Redis) -> None:
    """BullMQ's own worker, with Medusa's ``queueName`` and ``queueOptions.prefix``."""
    order = await shop.place()
    heard: list[tuple[str, Any]] = []

    async def subscriber(job: Any, _: str) -> None:
        heard.append((job.name, job.data["data"]))

    reader = Worker("shop-events", subscriber, {"connection": redis_url, "prefix": "{shop}"})
    try:
        async with opened(named) as services, working(named):
            await Hand(services, shop).cancel(order)

            async def told() -> bool:
                return ("order.canceled", {"id": order.id}) in heard

            await eventually(told)
    finally:
        await reader.close()
    assert await redis.keys("RedisEventBusService:*") == [], "an event went where nobody reads"


async def test_a_release_waits_for_the_shops_own_lock(shop: Shop, named: Settings, redis: Redis) -> None:
    order = await shop.place()
    lock = f"shop:locks:{order.inventory_item_ids[0]}"
    async with opened(named) as services:
        hand = Hand(services, shop)
        await hand.cancel(order)
        await redis.set(lock, "execute:medusa", ex=60)
        held: list[str] = []

        async def medusa_is_done() -> None:
            await asyncio.sleep(0.3)
            await redis.delete(lock)

        async def look() -> None:
            held.extend(map(str, await redis.keys("*iitem_*")))

        began = time.monotonic()
        _, job = await asyncio.gather(medusa_is_done(), hand.before("release.record", look).run(order, JobKind.RELEASE))
    assert job["state"] == "done"
    assert time.monotonic() - began >= 0.3
    assert held == [lock], "taken where Medusa looks, and nowhere else"


async def test_locks_may_be_in_another_redis(
    shop: Shop, database: str, redis_url: str, sandbox: Sandbox, own_valkey: Valkey
) -> None:
    """Each module of Medusa's has a ``redisUrl`` of its own."""
    changes = {"MEDUSA_LOCK_REDIS_URL": own_valkey.url(3), "MEDUSA_REDIS_URL": redis_url, "VOID_WAIT_SECONDS": "0"}
    order, seen = await shop.place(), list[str]()
    async with (
        opened(settings_for(database, redis_url, sandbox, **changes)) as services,
        Redis.from_url(own_valkey.url(3), decode_responses=True) as locks,
    ):
        hand = Hand(services, shop)
        await hand.cancel(order)

        async def look() -> None:
            seen.extend(map(str, await locks.keys("*")))

        assert (await hand.before("release.record", look).run(order, JobKind.RELEASE))["state"] == "done"
    assert seen == [f"medusa_lock:{order.inventory_item_ids[0]}"]


async def _survey(redis_url: str, **config: Any) -> list[str]:
    settings = BridgeConfig(locking=Locking.REDIS, redis_url=redis_url, **config)
    async with MedusaBridge.open(settings) as bridge:
        return list(await bridge.survey(events=True))


async def test_a_queue_that_is_not_there_is_named_with_those_that_are(redis: Redis, redis_url: str) -> None:
    for queue in ("shop:orders", "{shop}:shop-events", "bull:medusa-workflows"):
        await redis.hset(f"{queue}:meta", "opts.maxLenEvents", "10000")
    await redis.set("sess:meta", "no queue")
    [problem] = await _survey(redis_url)
    assert "MEDUSA_EVENTS_QUEUE" in problem
    assert "MEDUSA_EVENTS_PREFIX" in problem
    assert "RedisEventBusService:events-queue" in problem
    for queue in ("shop:orders", "{shop}:shop-events", "bull:medusa-workflows"):
        assert queue in problem
    assert await _survey(redis_url, events_queue="shop-events", events_prefix="{shop}") == []


async def test_a_queue_that_only_we_have_written_to_is_no_queue_of_medusas(redis: Redis, redis_url: str) -> None:
    """Our own events make the queue: a worker of Medusa's beside it tells where Medusa reads."""
    async with MedusaBridge.open(BridgeConfig(redis_url=redis_url)) as bridge:
        await bridge.events.publish(Event("order.canceled", "order_1"))
    assert await redis.exists("RedisEventBusService:events-queue:meta")
    assert await _survey(redis_url) == [], "Medusa may be down, and nothing tells otherwise"
    await redis.hset("shop:orders:meta", "opts.maxLenEvents", "10000")
    await redis.set("shop:orders:stalled-check", "1", px=30_000)
    [problem] = await _survey(redis_url)
    assert "RedisEventBusService:events-queue" in problem
    assert "shop:orders" in problem
    await redis.set("RedisEventBusService:events-queue:stalled-check", "1", px=30_000)
    assert await _survey(redis_url) == []


async def test_a_lock_in_another_namespace_is_named(redis: Redis, redis_url: str) -> None:
    await redis.hset("RedisEventBusService:events-queue:meta", "opts.maxLenEvents", "10000")
    await redis.set("medusa_lock:iitem_01M82MGPYYHGSM41XBR1GMBMVJ", "execute:1", ex=60)
    assert await _survey(redis_url) == []
    await redis.set("shop:locks:iitem_01M82MGPYYHGSM41XBR1GMBMVJ", "execute:2", ex=60)
    [problem] = await _survey(redis_url)
    assert "MEDUSA_LOCK_NAMESPACE" in problem
    assert "shop:locks:" in problem
    assert await _survey(redis_url, lock_namespace="shop:locks:") != [], "now the other one is strange"


async def test_a_redis_that_is_away_or_tells_nothing_is_no_problem(own_valkey: Valkey) -> None:
    own_valkey.kill()
    assert await _survey(own_valkey.url()) == []


async def test_a_worker_says_so_at_its_start(named: Settings, redis: Redis) -> None:
    await redis.hset("RedisEventBusService:events-queue:meta", "opts.maxLenEvents", "10000")
    with structlog.testing.capture_logs() as logs:
        async with working(named):
            pass
    [said] = [entry for entry in logs if entry["event"] == "medusa.names"]
    assert said["log_level"] == "warning"
    assert "{shop}:shop-events" in said["detail"]
    assert "RedisEventBusService:events-queue" in said["detail"]


@pytest.mark.parametrize("queue", ["shop-events", "events-queue"])
async def test_the_doctor_looks_too(
    database: str, redis_url: str, redis: Redis, capsys: pytest.CaptureFixture[str], queue: str
) -> None:
    await redis.hset("{shop}:shop-events:meta", "opts.maxLenEvents", "10000")
    environ = {
        "DATABASE_URL": database,
        "MEDUSA_REDIS_URL": redis_url,
        "MEDUSA_EVENTS_QUEUE": queue,
        "MEDUSA_EVENTS_PREFIX": "{shop}",
    }
    code = await asyncio.to_thread(run_doctor, environ, ask_stripe=False, as_json=True)
    out = capsys.readouterr().out
    assert ("setting_unlike_medusa" in out) == (queue == "events-queue")
    if queue == "events-queue":
        assert code == 1
        assert "{shop}:shop-events" in out
