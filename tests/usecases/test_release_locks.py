"""A release goes by the lock that Medusa itself takes: in Redis, in Postgres, or in its own memory."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal

import asyncpg
import pytest
from redis.asyncio import Redis

from app.domain.jobs import JobKind
from app.embedded.shop import Line, PlacedOrder
from app.embedded.stripe_sandbox.client import Sandbox
from app.embedded.valkey import Valkey
from app.ports import Unavailable
from plugins.medusa_bridge.stock import advisory_key
from tests.gateways.lossy import lossy_wire
from tests.usecases.hand import Hand, opened
from tests.world import Shop, settings_for


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    """Medusa's Redis, as Medusa sees it."""
    async with Redis.from_url(redis_url, decode_responses=True) as client:
        yield client


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quarter of a second for a lock, where Medusa has five seconds."""
    monkeypatch.setattr("plugins.medusa_bridge.stock._LOCK_WAIT", 0.25)


async def test_a_release_waits_for_medusas_lock_and_gives_its_own_back(hand: Hand, shop: Shop, redis: Redis) -> None:
    order = await _canceled(hand, shop)
    lock = f"medusa_lock:{order.inventory_item_ids[0]}"
    await redis.set(lock, "execute:somebody", ex=60)

    async def medusa_is_done() -> None:
        await asyncio.sleep(0.3)
        await redis.delete(lock)

    began = time.monotonic()
    _, job = await asyncio.gather(medusa_is_done(), hand.run(order, JobKind.RELEASE))

    assert time.monotonic() - began >= 0.3
    assert job["state"] == "done"
    assert await redis.keys("medusa_lock:*") == []


async def test_the_lock_is_taken_as_medusa_takes_it_and_held_over_the_commit(
    hand: Hand, shop: Shop, redis: Redis
) -> None:
    order = await _canceled(hand, shop, Line(quantity=1), Line(quantity=2))
    seen: dict[str, tuple[str, int]] = {}

    async def look() -> None:
        for key in await redis.keys("medusa_lock:*"):
            seen[str(key)] = (str(await redis.get(key)), await redis.ttl(key))

    assert (await hand.before("release.record", look).run(order, JobKind.RELEASE))["state"] == "done"
    assert sorted(seen) == sorted(f"medusa_lock:{item}" for item in order.inventory_item_ids)
    for owner, ttl in seen.values():
        assert owner.startswith("execute:")
        assert 8 <= ttl <= 12
    assert await redis.keys("medusa_lock:*") == []


@pytest.mark.usefixtures("impatient")
async def test_a_lock_that_is_not_given_up_is_an_incident_that_heals(hand: Hand, shop: Shop, redis: Redis) -> None:
    order = await _canceled(hand, shop, Line(quantity=1), Line(quantity=2))
    held = f"medusa_lock:{max(order.inventory_item_ids)}"
    await redis.set(held, "execute:somebody", ex=60)

    told = []
    for _ in range(3):
        job = await hand.run(order, JobKind.RELEASE)
        told.append(await shop.incidents(order))
        assert await redis.keys("medusa_lock:*") == [held], "what was taken on the way is given back"
    assert told == [[], [], ["release_failed"]]
    assert job["state"] == "scheduled"
    assert f"lock of {max(order.inventory_item_ids)}" in job["last_error"]
    assert await redis.get(held) == "execute:somebody", "nobody's lock is broken"
    assert "no expiry" not in job["last_error"]
    await redis.persist(held)
    assert (
        f"no expiry: unless Medusa is at work on the item, delete the key {held}"
        in (await hand.run(order, JobKind.RELEASE))["last_error"]
    )

    await redis.delete(held)
    assert (await hand.run(order, JobKind.RELEASE))["state"] == "done"
    assert await shop.incidents(order) == []
    assert await _reserved(shop) == {Decimal(0)}


async def test_a_lock_of_medusas_that_was_taken_although_the_answer_was_lost_is_given_back(
    shop: Shop, database: str, redis_url: str, sandbox: Sandbox, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("plugins.medusa_bridge.bridge._REDIS_PATIENCE", 0.3)
    async with lossy_wire(redis_url, b"medusa_lock:") as wire:
        settings = settings_for(database, redis_url, sandbox, MEDUSA_REDIS_URL=wire.url, VOID_WAIT_SECONDS="0")
        async with opened(settings) as services:
            hand = Hand(services, shop)
            order = await _canceled(hand, shop)
            wire.lose = 1
            assert (await hand.run(order, JobKind.RELEASE))["failures"] == 1
            assert await redis.keys("medusa_lock:*") == []


async def test_a_dead_redis_of_medusas_releases_nothing_and_heals(
    shop: Shop, database: str, redis_url: str, sandbox: Sandbox, own_valkey: Valkey
) -> None:
    settings = settings_for(database, redis_url, sandbox, MEDUSA_REDIS_URL=own_valkey.url(), VOID_WAIT_SECONDS="0")
    async with opened(settings) as services:
        hand = Hand(services, shop)
        order = await _canceled(hand, shop)
        own_valkey.kill()
        for _ in range(3):
            job = await hand.run(order, JobKind.RELEASE)
        assert job["last_error"].startswith("Medusa's Redis does not answer")
        assert await shop.incidents(order) == ["release_failed"]
        assert await _reserved(shop) == {Decimal(1)}
        own_valkey.restart()
        assert (await hand.run(order, JobKind.RELEASE))["state"] == "done"
        assert await shop.incidents(order) == []


def test_the_advisory_key_is_that_of_medusas_locking_postgres() -> None:
    """djb2 with xor, over the characters from the end."""
    assert advisory_key("") == 5381
    assert advisory_key("a") == 177604
    assert 0 <= advisory_key("iitem_01JSHP0000000000000000ABCD") < 2**32


async def test_with_locking_postgres_a_release_waits_for_the_advisory_lock(
    shop: Shop, database: str, redis_url: str, sandbox: Sandbox, redis: Redis
) -> None:
    settings = settings_for(database, redis_url, sandbox, MEDUSA_LOCKING="postgres", VOID_WAIT_SECONDS="0")
    async with opened(settings) as services:
        hand = Hand(services, shop)
        order = await _canceled(hand, shop)
        await redis.set(f"medusa_lock:{order.inventory_item_ids[0]}", "execute:somebody")
        medusa = await asyncpg.connect(database)
        holding = medusa.transaction()
        await holding.start()
        await medusa.execute("select pg_advisory_xact_lock($1)", advisory_key(order.inventory_item_ids[0]))

        running = asyncio.create_task(hand.run(order, JobKind.RELEASE))
        await asyncio.sleep(0.3)
        assert not running.done()
        assert await _reserved(shop) == {Decimal(1)}
        await holding.commit()
        await medusa.close()
        assert (await running)["state"] == "done"
        assert await _reserved(shop) == {Decimal(0)}


async def test_an_advisory_lock_that_is_not_given_up_is_tried_again_later(
    shop: Shop, database: str, redis_url: str, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.usecases.release_stock._STOCK_PATIENCE", 0.2)
    settings = settings_for(database, redis_url, sandbox, MEDUSA_LOCKING="postgres", VOID_WAIT_SECONDS="0")
    async with opened(settings) as services:
        hand = Hand(services, shop)
        order = await _canceled(hand, shop)
        key = advisory_key(order.inventory_item_ids[0])
        medusa = await asyncpg.connect(database)
        await medusa.execute("select pg_advisory_lock($1)", key)
        job = await hand.run(order, JobKind.RELEASE)
        assert (job["state"], job["failures"]) == ("scheduled", 1)
        await medusa.close()
        assert (await hand.run(order, JobKind.RELEASE))["state"] == "done"


async def test_the_level_row_is_locked_too(hand: Hand, shop: Shop, database: str) -> None:
    """Whoever changes the level without Medusa's lock is waited for, and nothing is lost."""
    order = await _canceled(hand, shop, Line(quantity=2))
    other = await asyncpg.connect(database)
    changing = other.transaction()
    await changing.start()
    await other.execute("update inventory_level set reserved_quantity = reserved_quantity + 5")
    running = asyncio.create_task(hand.run(order, JobKind.RELEASE))
    await asyncio.sleep(0.2)
    assert not running.done()
    await changing.commit()
    await other.close()
    assert (await running)["state"] == "done"
    assert await _reserved(shop) == {Decimal(5)}


async def test_a_guard_raises_unavailable_within_medusas_patience(
    hand: Hand, shop: Shop, redis: Redis, impatient: None
) -> None:
    order = await _canceled(hand, shop)
    await redis.set(f"medusa_lock:{order.inventory_item_ids[0]}", "execute:somebody", px=timedelta(minutes=1))
    live = await hand.services.inventory.reservations(shop.conn, order.id)
    began = time.monotonic()
    with pytest.raises(Unavailable, match="Medusa holds the lock"):
        async with hand.services.inventory.stock_guard(live):
            pytest.fail("the guard let us in")
    assert time.monotonic() - began < 2


async def _canceled(hand: Hand, shop: Shop, *lines: Line) -> PlacedOrder:
    order = await shop.place(lines=lines or (Line(),))
    await hand.cancel(order)
    return order


async def _reserved(shop: Shop) -> set[Decimal]:
    return {row["reserved_quantity"] for row in await shop.conn.fetch("select reserved_quantity from inventory_level")}
