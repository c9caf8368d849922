"""The order's lock in Redis is advisory: it puts a job off for a lease at most, whoever holds it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from app.domain.jobs import LEASE, JobKind
from app.embedded.shop import PlacedOrder
from app.settings import Settings
from tests.usecases.hand import Hand, opened
from tests.world import Shop

AT_STRIPE = [JobKind.CAPTURE, JobKind.VOID, JobKind.REFUND, JobKind.LOOK]


@pytest.fixture
async def hand(shop: Shop, settings: Settings) -> AsyncIterator[Hand]:
    async with opened(settings) as services:
        yield Hand(services, shop)


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url) as client:
        yield client


@pytest.mark.parametrize("kind", AT_STRIPE)
async def test_a_lock_without_an_expiry_keeps_no_job_waiting(
    hand: Hand, shop: Shop, redis: Redis, kind: JobKind
) -> None:
    order = await _with_job(hand, shop, kind)
    lock = (await hand.redis_keys()).order_lock(order.id)
    await redis.set(lock, "x")
    job = await hand.run(order, kind)
    assert (job["attempts"], job["state"]) == (1, "removed" if kind is JobKind.REFUND else "done")
    assert await redis.get(lock) == b"x"


@pytest.mark.parametrize("kind", AT_STRIPE)
async def test_a_lock_that_is_renewed_without_end_is_passed_by_after_a_lease(
    hand: Hand, shop: Shop, redis: Redis, kind: JobKind
) -> None:
    order = await _with_job(hand, shop, kind)
    lock = (await hand.redis_keys()).order_lock(order.id)
    for renewal in range(3):
        await redis.set(lock, f"the {renewal}th", px=int(LEASE.total_seconds() * 1000))
        job = await hand.run(order, kind)
        assert (job["attempts"], job["state"]) == (0, "scheduled")
    await _wait_a_lease(shop)
    await redis.set(lock, "once more", px=int(LEASE.total_seconds() * 1000))
    job = await hand.run(order, kind)
    assert (job["attempts"], job["state"]) == (1, "removed" if kind is JobKind.REFUND else "done")
    assert await redis.get(lock) == b"once more"


async def test_the_next_attempt_waits_for_the_lock_as_the_first_did(hand: Hand, shop: Shop, redis: Redis) -> None:
    order = await _with_job(hand, shop, JobKind.VOID)
    lock = (await hand.redis_keys()).order_lock(order.id)
    await redis.set(lock, "another worker", px=int(LEASE.total_seconds() * 1000))
    await hand.run(order, JobKind.VOID)
    await _wait_a_lease(shop)
    await shop.sandbox.fault("payment_intents.cancel", "error", status=500)
    assert (await hand.run(order, JobKind.VOID))["failures"] == 1
    assert (await hand.run(order, JobKind.VOID))["attempts"] == 1, "it was put off"


async def _with_job(hand: Hand, shop: Shop, kind: JobKind) -> PlacedOrder:
    """An order with one job of the kind; for a refund there is nothing to give back."""
    order = await shop.place()
    match kind:
        case JobKind.VOID:
            await hand.cancel(order)
        case JobKind.LOOK:
            await hand.schedule(order, kind, [f"{order.payment_ids[0]}:evt_1"])
        case _:
            await hand.schedule(order, kind)
    return order


async def _wait_a_lease(shop: Shop) -> None:
    await shop.conn.execute("update grace.jobs set postponed_since = postponed_since - $1::interval", LEASE)
