"""Two shops, and a shop and its copy, on one Redis: each does its own work, and nothing else."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from app.embedded.postgres import Postgres
from app.embedded.shop import create_publishable_key
from app.embedded.stripe_sandbox.client import Sandbox
from app.gateways.redis_client import connect
from app.settings import Settings
from app.store.migrate import renew_installation
from tests.databases import copied
from tests.deploy.processes import running
from tests.promises import broken_promises
from tests.usecases.hand import Hand, opened
from tests.world import Shop, eventually, make_due, settings_for, working

EACH = 8


@pytest.fixture
async def other_database(postgres: Postgres, shop_template: str) -> AsyncIterator[str]:
    """A second shop's database, made like the first one: with the same installation id, as a copy has it."""
    async with copied(postgres, shop_template, prefix="other") as dsn:
        yield dsn


@pytest.fixture
async def other(other_database: str, sandbox_url: str) -> AsyncIterator[Shop]:
    """The second shop, with a Stripe account of its own."""
    conn = await asyncpg.connect(other_database)
    yield Shop(conn, Sandbox(sandbox_url, f"sk_test_{uuid.uuid4().hex}"), await create_publishable_key(conn))
    await conn.close()


@pytest.mark.parametrize("renewed", [True, False], ids=["two shops", "a copy"])
async def test_each_voids_captures_and_releases_its_own(
    shop: Shop, settings: Settings, redis_url: str, other: Shop, other_database: str, tmp_path: Path, renewed: bool
) -> None:
    """A copy that shares the id loses messages to the original, which sweeps bring back; nothing is done to the wrong
    row. The numbers of their rows are the same ones."""
    if renewed:
        await renew_installation(other_database)
    their_settings = settings_for(other_database, redis_url, other.sandbox)
    shops = (shop, other)
    placed = {one.key: [await one.place() for _ in range(EACH)] for one in shops}
    async with opened(settings) as ours, opened(their_settings) as theirs:
        for one, services in zip(shops, (ours, theirs), strict=True):
            hand = Hand(services, one)
            for order in placed[one.key][: EACH // 2]:
                await hand.cancel(order)
    with running(their_settings, tmp_path, "worker") as process:
        async with working(settings):
            await asyncio.to_thread(process.await_words, "worker.ready")
            for one in shops:
                for order in placed[one.key][EACH // 2 :]:
                    await eventually(lambda one=one, order=order: one.job(order, "capture"))  # type: ignore[misc]
                    await make_due(one, order)
            for one in shops:
                await eventually(lambda one=one: _at_rest(one), within=60)  # type: ignore[misc]
    for one in shops:
        assert await broken_promises(one, one.sandbox) == []
        ledger = await one.sandbox.ledger()
        intents = [ledger[order.intent_ids[0]] for order in placed[one.key]]
        assert [(intent.voids, intent.captures) for intent in intents] == [(1, 0)] * (EACH // 2) + [(0, 1)] * (
            EACH // 2
        )
        assert await one.conn.fetchval("select count(*) from grace.incidents") == 0


async def test_every_key_and_channel_has_the_installations_id(
    shop: Shop, settings: Settings, redis_url: str, other_database: str
) -> None:
    """None is left that another shop could take for its own. Medusa's own keys are Medusa's."""
    async with opened(settings) as services, connect(redis_url) as redis, redis.pubsub() as listening:
        hand = Hand(services, shop)
        installation = (await hand.redis_keys()).installation
        await listening.psubscribe("grace:*")
        order = await shop.place()
        await hand.cancel(order)
        seen: set[str] = set()

        async def looked_at() -> bool:
            seen.update(_text(name) for name in await redis.keys("*"))
            while (message := await listening.get_message(ignore_subscribe_messages=True)) is not None:
                seen.add(_text(message["channel"]))
            return await _at_rest(shop)

        async with working(settings):
            await services.wakeup.wake()
            await eventually(looked_at, within=20)
            await looked_at()
    ours = {name for name in seen if name.startswith("grace")}
    assert {name for name in ours if not name.startswith(f"grace:{installation}:")} == set()
    assert {name.split(":")[2] for name in ours} >= {"jobs", "wake", "voids"}
    others = {name for name in seen - ours if not name.startswith(("medusa_lock:", "RedisEventBusService:"))}
    assert others == set()


async def _at_rest(shop: Shop) -> bool:
    waiting = "select count(*) from grace.jobs where state in ('scheduled', 'queued', 'running') and run_at <= now()"
    return not await shop.conn.fetchval(waiting)


def _text(name: bytes | str) -> str:
    return name.decode() if isinstance(name, bytes) else name
