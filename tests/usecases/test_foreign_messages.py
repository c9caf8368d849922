"""Messages of other shops, kinds and orders, and of a database that was restored: they do nothing, to nothing."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from msgspec.structs import replace

from app.domain.jobs import JobKind, JobRef
from app.embedded.shop import PlacedOrder
from app.settings import Settings
from tests.usecases.hand import Hand, opened
from tests.world import Shop

OTHERS = f"{0:026d}"


@pytest.fixture
async def hand(shop: Shop, settings: Settings) -> AsyncIterator[Hand]:
    async with opened(settings) as services:
        yield Hand(services, shop)


@pytest.mark.parametrize("queue", JobKind)
@pytest.mark.parametrize("kind", [JobKind.VOID, JobKind.RELEASE])
async def test_a_message_in_another_queue_does_nothing(
    hand: Hand, shop: Shop, kind: JobKind, queue: JobKind, caplog: pytest.LogCaptureFixture
) -> None:
    """Whether or not it says that it belongs there."""
    order = await _canceled(hand, shop)
    ref = await hand.queue(order, kind)
    before = await _rows(shop.conn)
    if queue is not kind:
        for foreign in (ref, replace(ref, kind=queue), replace(ref, kind=queue, order_id="order_of_another_shop")):
            caplog.clear()
            await hand.deliver(queue, foreign)
            assert _warned(caplog) == ["job.foreign"]
            assert await _rows(shop.conn) == before
        assert await hand.ops(order) == []
    await hand.deliver(kind, ref)
    assert (await hand.job(order, kind))["state"] == "done"


@pytest.mark.parametrize(
    "change",
    [
        {"installation": OTHERS},
        {"id": OTHERS},
        {"order_id": "order_of_another_shop"},
        {"generation": 2},
        {"generation": 2**31 - 1},
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", [JobKind.VOID, JobKind.RELEASE, JobKind.PUBLISH])
async def test_a_message_that_fits_in_all_but_one_does_nothing(
    hand: Hand, shop: Shop, kind: JobKind, change: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    order = await _canceled(hand, shop)
    ref = await hand.queue(order, kind)
    before = await _rows(shop.conn)
    await hand.deliver(kind, replace(ref, **change))
    assert _warned(caplog) == ["job.foreign"]
    assert await _rows(shop.conn) == before
    await hand.deliver(kind, ref)
    assert (await hand.job(order, kind))["state"] == "done"


async def test_a_message_that_names_another_order_of_the_shop_touches_neither(hand: Hand, shop: Shop) -> None:
    one, other = await _canceled(hand, shop), await _canceled(hand, shop)
    refs = [await hand.queue(order, JobKind.VOID) for order in (one, other)]
    before = await _rows(shop.conn)
    for ref, order in zip(refs, (other, one), strict=True):
        await hand.deliver(JobKind.VOID, replace(ref, order_id=order.id))
    assert await _rows(shop.conn) == before
    assert await hand.ops(one) == await hand.ops(other) == []


async def test_a_message_of_before_a_restore_meets_none_of_the_rows_made_since(
    hand: Hand, shop: Shop, settings: Settings
) -> None:
    """The sequence issues its numbers again; a ULID is never issued twice."""
    messages = []
    for _ in range(3):
        order = await _canceled(hand, shop)
        messages += [await hand.queue(order, kind) for kind in (JobKind.VOID, JobKind.RELEASE)]
    await shop.conn.execute("truncate grace.jobs restart identity")  # the backup was made before these orders
    orders = [await _canceled(hand, shop) for _ in range(3)]
    refs = {
        (order.id, kind): await hand.queue(order, kind) for order in orders for kind in (JobKind.VOID, JobKind.RELEASE)
    }
    before = await _rows(shop.conn)
    for message in messages:
        await hand.deliver(message.kind, message)
    assert await _rows(shop.conn) == before
    for (_, kind), ref in refs.items():
        await hand.deliver(kind, ref)
    assert [await hand.ops(order) for order in orders] == [["cancel"]] * 3


async def test_an_installation_that_got_a_new_id_obeys_no_message_of_the_old_one(
    hand: Hand, shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    order = await _canceled(hand, shop)
    old = await hand.queue(order, JobKind.VOID)
    await shop.conn.execute("update grace.installation set id = grace.new_ulid()")
    await hand.deliver(JobKind.VOID, old)
    assert _warned(caplog) == ["job.foreign"]
    assert await hand.ops(order) == []
    await hand.deliver(JobKind.VOID, await hand.message(order, JobKind.VOID))
    assert (await hand.job(order, JobKind.VOID))["state"] == "done"


async def test_a_message_that_postgres_cannot_even_read_ends_quietly(hand: Hand) -> None:
    """As nobody but a program beside us makes one; ``JobRef.parse`` stands before this."""
    await hand.deliver(JobKind.VOID, JobRef(OTHERS, OTHERS, JobKind.VOID, "order\x00", 2**40))


async def _canceled(hand: Hand, shop: Shop) -> PlacedOrder:
    order = await shop.place()
    await hand.cancel(order)
    return order


async def _rows(conn: asyncpg.Connection) -> list[asyncpg.Record]:
    """Everything that a job of a canceled order may write."""
    tables = ("grace.jobs", "grace.events", "grace.incidents", "payment", '"order"', "reservation_item")
    return [row for table in tables for row in await conn.fetch(f"select * from {table} order by id")]


def _warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    records = [record.msg for record in caplog.records if record.levelno >= logging.WARNING]
    return [record["event"] if isinstance(record, dict) else str(record) for record in records]
