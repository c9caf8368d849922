"""Events reach Medusa's bus as Medusa's own bus would have put them there."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from redis.asyncio import Redis

from app.domain.jobs import JobKind
from app.embedded.shop import PlacedOrder
from app.embedded.stripe_sandbox.client import Sandbox
from app.embedded.valkey import Valkey
from app.ports import Event
from tests.usecases.hand import Hand, Killed, opened
from tests.world import Shop, settings_for

QUEUE = "RedisEventBusService:events-queue"


@pytest.fixture
async def bus(redis_url: str) -> AsyncIterator[Redis]:
    """The Redis of Medusa's event bus."""
    async with Redis.from_url(redis_url, decode_responses=True) as client:
        yield client


async def test_a_cancel_is_told_as_medusa_tells_it(hand: Hand, shop: Shop, bus: Redis) -> None:
    order = await _canceled(hand, shop)
    assert (await hand.run(order, JobKind.PUBLISH))["state"] == "done"

    (job,) = await _jobs(bus)
    assert job["name"] == "order.canceled"
    body = json.loads(job["data"])
    assert body["data"] == {"id": order.id}
    for moment in (body["metadata"]["created_at"], body["metadata"]["published_at"]):
        assert moment.endswith("Z")
        assert abs(datetime.fromisoformat(moment) - datetime.now(UTC)) < timedelta(seconds=5)
    options = json.loads(job["opts"])
    assert options["priority"] == 100
    assert options["attempts"] == 1
    assert options["removeOnComplete"] is True
    assert options.get("delay", 0) == 0


async def test_the_job_lands_among_the_prioritized_where_medusas_workers_look(
    hand: Hand, shop: Shop, bus: Redis
) -> None:
    order = await _canceled(hand, shop)
    await hand.run(order, JobKind.PUBLISH)
    (waiting,) = await bus.zrange(f"{QUEUE}:prioritized", 0, -1)
    assert await bus.exists(f"{QUEUE}:{waiting!s}", f"{QUEUE}:marker", f"{QUEUE}:meta", f"{QUEUE}:pc") == 4
    assert ":" not in waiting, "BullMQ takes no colon in a job's id"


@pytest.mark.parametrize("event", [Event("payment.captured", "pay_1"), Event("payment.refunded", "pay_1")])
async def test_each_event_carries_the_id_alone(hand: Hand, bus: Redis, event: Event) -> None:
    await hand.services.events.publish(event)
    (job,) = await _jobs(bus)
    assert (job["name"], json.loads(job["data"])["data"]) == (event.name, {"id": "pay_1"})
    assert Event.parse(event.subject) == event


async def test_an_event_that_waits_already_is_not_added_twice(hand: Hand, shop: Shop, bus: Redis) -> None:
    """A worker dies between publishing and recording: the next one publishes again."""
    order = await _canceled(hand, shop)
    with pytest.raises(Killed):
        await hand.dying_at("publish.record").run(order, JobKind.PUBLISH)
    await hand.bury()
    assert (await hand.run(order, JobKind.PUBLISH))["state"] == "done"
    assert len(await _jobs(bus)) == 1


async def test_a_dead_bus_is_tried_again_told_and_forgiven(
    shop: Shop, database: str, redis_url: str, sandbox: Sandbox, own_valkey: Valkey
) -> None:
    settings = settings_for(database, redis_url, sandbox, MEDUSA_REDIS_URL=own_valkey.url(), VOID_WAIT_SECONDS="0")
    async with opened(settings) as services:
        hand = Hand(services, shop)
        order = await _canceled(hand, shop)
        own_valkey.kill()
        told = []
        for _ in range(3):
            job = await hand.run(order, JobKind.PUBLISH)
            told.append(await shop.incidents(order))
        assert told == [[], [], ["publish_failed"]]
        assert (job["state"], job["failures"]) == ("scheduled", 3)
        assert job["last_error"].startswith("Medusa's Redis does not answer")

        own_valkey.restart()
        assert (await hand.run(order, JobKind.PUBLISH))["state"] == "done"
        assert await shop.incidents(order) == []
        async with Redis.from_url(own_valkey.url(), decode_responses=True) as bus:
            assert len(await _jobs(bus)) == 1


async def test_a_bus_that_hangs_is_given_up_within_its_patience(
    shop: Shop, database: str, redis_url: str, sandbox: Sandbox, own_valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("plugins.medusa_bridge.events._PATIENCE", 0.3)
    settings = settings_for(database, redis_url, sandbox, MEDUSA_REDIS_URL=own_valkey.url(), VOID_WAIT_SECONDS="0")
    async with opened(settings) as services:
        hand = Hand(services, shop)
        order = await _canceled(hand, shop)
        own_valkey.pause()
        assert (await hand.run(order, JobKind.PUBLISH))["state"] == "scheduled"
        own_valkey.resume()
        assert (await hand.run(order, JobKind.PUBLISH))["state"] == "done"


async def test_events_off_schedules_none(shop: Shop, database: str, redis_url: str, sandbox: Sandbox) -> None:
    settings = settings_for(database, redis_url, sandbox, MEDUSA_EVENTS="off", VOID_WAIT_SECONDS="0")
    async with opened(settings) as services:
        hand = Hand(services, shop)
        order = await _canceled(hand, shop)
        assert {kind for kind, _ in await hand.jobs(order)} == {"void", "release"}


async def _canceled(hand: Hand, shop: Shop) -> PlacedOrder:
    order = await shop.place()
    await hand.cancel(order)
    return order


async def _jobs(bus: Redis) -> list[dict[str, Any]]:
    ids = await bus.zrange(f"{QUEUE}:prioritized", 0, -1)
    found = [await bus.hgetall(f"{QUEUE}:{id_!s}") for id_ in ids]
    return [{str(name): value for name, value in job.items()} for job in found]
