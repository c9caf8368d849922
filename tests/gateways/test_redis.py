"""What Redis does for the workers: a lock that is courtesy, and a knock at the door. Without it, nothing waits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from app.domain.jobs import LEASE
from app.embedded.processes import free_port
from app.embedded.valkey import Valkey
from app.gateways.redis_client import connect
from app.gateways.redis_keys import RedisKeys
from app.gateways.redis_limits import WINDOW, RedisRateLimits
from app.gateways.redis_locks import RedisOrderLocks
from app.gateways.redis_void_news import RedisVoidNews
from app.gateways.redis_wakeup import RedisWakeup
from tests.gateways.lossy import lossy_wire

KEYS = RedisKeys("01M8ENPPEZFT6BX79QANHA0HAP")
LEASE_MS = int(LEASE.total_seconds() * 1000)
KEY = KEYS.order_lock("order_1")


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    """The sidecar's Redis."""
    async with connect(redis_url) as client:
        yield client


async def test_an_orders_lock_is_one_workers_at_a_time(redis: Redis) -> None:
    locks = RedisOrderLocks(redis, KEYS)
    async with locks.hold("order_1") as first, locks.hold("order_2") as other:
        began = time.monotonic()
        async with locks.hold("order_1") as second:
            assert (first, second, other) == (True, False, True)
        assert 0.4 < time.monotonic() - began < 2
        assert await redis.exists(KEY), "the second did not give back what was the first's"
    assert await redis.exists(KEY, KEYS.order_lock("order_2")) == 0


async def test_a_lock_that_is_given_back_soon_is_waited_for(redis: Redis) -> None:
    locks = RedisOrderLocks(redis, KEYS)

    async def briefly() -> None:
        async with locks.hold("order_1"):
            await asyncio.sleep(0.15)

    task = asyncio.create_task(briefly())
    await asyncio.sleep(0.05)
    async with locks.hold("order_1") as held:
        assert held
    await task


async def test_the_lock_lapses_with_the_lease_and_is_then_nobodys_to_give_back(redis: Redis) -> None:
    async with RedisOrderLocks(redis, KEYS).hold("order_1"):
        assert LEASE.total_seconds() * 1000 - 2000 < await redis.pttl(KEY) <= LEASE.total_seconds() * 1000
        await redis.set(KEY, "another worker's, after ours lapsed")
    assert await redis.get(KEY) == b"another worker's, after ours lapsed"


@pytest.mark.parametrize("left_ms", [None, LEASE_MS + 1000, 10 * LEASE_MS])
async def test_a_key_that_outlasts_a_lease_is_no_workers_lock_and_passed_by(
    redis: Redis, left_ms: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    await redis.set(KEY, "x", px=left_ms)
    began = time.monotonic()
    async with RedisOrderLocks(redis, KEYS).hold("order_1") as held:
        assert held
    assert time.monotonic() - began < 2
    assert await redis.get(KEY) == b"x", "it is not ours to delete"
    (record,) = [record.msg for record in caplog.records if record.levelname == "WARNING"]
    assert isinstance(record, dict)
    assert (record["event"], record["lock"]) == ("redis.lock_foreign", KEY)


async def test_a_key_of_another_type_is_no_workers_lock_either(redis: Redis) -> None:
    await redis.rpush(KEY, "x")
    async with RedisOrderLocks(redis, KEYS).hold("order_1") as held:
        assert held
    assert await redis.exists(KEY)


@pytest.mark.parametrize("left_ms", [1000, LEASE_MS])
async def test_a_lock_that_lapses_within_a_lease_may_be_a_workers(redis: Redis, left_ms: int) -> None:
    await redis.set(KEY, "a colleague's", px=left_ms)
    async with RedisOrderLocks(redis, KEYS).hold("order_1") as held:
        assert not held


async def test_without_redis_the_lock_is_had_at_once() -> None:
    async with connect(f"redis://127.0.0.1:{free_port()}") as nobody:
        began = time.monotonic()
        async with RedisOrderLocks(nobody, KEYS).hold("order_1") as held:
            assert held
        assert time.monotonic() - began < 1


async def test_a_redis_that_hangs_or_dies_meanwhile_holds_nobody_up(own_valkey: Valkey) -> None:
    async with connect(own_valkey.url()) as redis:
        locks = RedisOrderLocks(redis, KEYS)
        async with locks.hold("order_1") as held:
            assert held
            own_valkey.pause()
            began = time.monotonic()
            async with locks.hold("order_2") as other:
                assert other
            assert time.monotonic() - began < 2
            own_valkey.resume()
            own_valkey.kill()


async def test_a_lock_that_was_taken_although_the_answer_was_lost_is_given_back(redis: Redis, redis_url: str) -> None:
    async with lossy_wire(redis_url, KEY.encode()) as wire, connect(wire.url) as client:
        wire.lose = 1
        async with RedisOrderLocks(client, KEYS).hold("order_1") as held:
            assert held
            assert await redis.exists(KEY) == 1, "it was taken"
    assert await redis.exists(KEY) == 0


async def test_a_mistake_under_the_lock_gives_it_back(redis: Redis) -> None:
    with pytest.raises(ZeroDivisionError):
        async with RedisOrderLocks(redis, KEYS).hold("order_1"):
            _ = 1 / 0
    assert await redis.exists(KEY) == 0


async def test_a_knock_is_heard_and_redis_may_come_and_go(own_valkey: Valkey) -> None:
    async with connect(own_valkey.url()) as redis:
        wakeup, knock = RedisWakeup(redis, KEYS), asyncio.Event()
        listening = asyncio.create_task(wakeup.listen(knock))
        assert await _heard(wakeup, knock)
        own_valkey.kill()
        began = time.monotonic()
        await wakeup.wake()
        assert time.monotonic() - began < 1
        own_valkey.restart()
        knock.clear()
        assert await _heard(wakeup, knock), "it listens again"
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


async def test_news_of_a_void_reaches_all_who_wait_for_that_order_and_redis_may_come_and_go(own_valkey: Valkey) -> None:
    async with connect(own_valkey.url()) as worker, connect(own_valkey.url()) as api:
        teller, hearer = RedisVoidNews(worker, KEYS), RedisVoidNews(api, KEYS)
        async with hearer.heard():
            with hearer.awaited("order_1") as one, hearer.awaited("order_1") as two, hearer.awaited("order_2") as other:
                await _told(teller, one)
                await asyncio.wait_for(two.wait(), 1)
                assert not other.is_set()
                await worker.publish(KEYS.voids, b"\xff")  # not ours
                one.clear()
                await _told(teller, one)
                own_valkey.kill()
                began = time.monotonic()
                await teller.tell("order_1")
                assert time.monotonic() - began < 1
                own_valkey.restart()
                one.clear()
                await _told(teller, one)
            await teller.tell("order_1")  # nobody waits for it any more
            with hearer.awaited("order_1") as again:
                await _told(teller, again)


async def _told(teller: RedisVoidNews, news: asyncio.Event) -> None:
    async with asyncio.timeout(10):
        while not news.is_set():
            await teller.tell("order_1")
            await asyncio.sleep(0.05)


async def _heard(wakeup: RedisWakeup, knock: asyncio.Event) -> bool:
    for _ in range(100):
        await wakeup.wake()
        if knock.is_set():
            return True
        await asyncio.sleep(0.05)
    return False


async def test_a_counter_outlives_its_window_and_no_more_than_the_next(redis: Redis) -> None:
    """One that lapsed within its window would begin again; one without an end would fill Redis."""
    limits = RedisRateLimits(redis, KEYS)
    for _ in range(3):
        assert await limits.exceeded(("order:1", 5), ("address:2", 5), ("unlimited", 0)) is None
    names = sorted(name if isinstance(name, str) else name.decode() for name in await redis.keys("*"))
    window = int(time.time() // WINDOW)
    assert [name.rpartition(":")[0] for name in names] == [
        KEYS.rate(key, window).rpartition(":")[0] for key in ("address:2", "order:1")
    ]
    for name in names:
        assert await redis.get(name) == b"3"
        assert WINDOW * 1000 < await redis.pttl(name) <= 2 * WINDOW * 1000
    await asyncio.sleep(0.05)
    left = await redis.pttl(names[0])
    await limits.exceeded(("order:1", 5), ("address:2", 5))
    assert await redis.pttl(names[0]) <= left, "the next request does not prolong it"


async def test_a_limit_is_the_number_that_passes_and_tells_when_the_next_window_begins(redis: Redis) -> None:
    limits = RedisRateLimits(redis, KEYS)
    answers = [await limits.exceeded(("a", 3), ("b", 9)) for _ in range(8)]
    if None in answers[4:]:  # the minute ended meanwhile
        answers = [await limits.exceeded(("a", 3), ("b", 9)) for _ in range(8)]
    assert answers[:3] == [None] * 3
    assert all(wait is not None and 0 < wait <= WINDOW for wait in answers[3:])
    assert await RedisRateLimits(redis, RedisKeys("0" * 26)).exceeded(("a", 3)) is None, "another installation's"
