"""Stock stays right while Medusa takes orders for the very items that our cancels give back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis

from .lab import LOCK_NAMESPACE, Lab
from .orders import Cart, Medusa
from .seed import STOCKED
from .sidecar import Sidecar
from .twins import Connection, settled

pytestmark = pytest.mark.medusa

_SHELF = """
select i.sku,
       l.reserved_quantity as reserved,
       (l.raw_reserved_quantity ->> 'value')::numeric as raw,
       l.stocked_quantity as stocked,
       coalesce((select sum(r.quantity) from reservation_item r
                  where r.inventory_item_id = l.inventory_item_id
                    and r.location_id = l.location_id and r.deleted_at is null), 0) as live
  from inventory_level l
  join inventory_item i on i.id = l.inventory_item_id
 where l.deleted_at is null and i.sku = any ($1)
 order by i.sku
"""
_LIVE_RESERVATIONS = """
select count(*) from reservation_item r
  join order_item oi on oi.item_id = r.line_item_id
 where oi.order_id = any ($1) and r.deleted_at is null
"""
# Medusa reads a level, adds in JavaScript and writes the sum. This draws the two apart, so that whoever writes in
# between without Medusa's lock is overwritten for certain instead of once in a dozen times.
_SLOWLY = """
create function public.slowly() returns trigger language plpgsql as
  $$ begin perform pg_sleep(0.25); return null; end $$;
create trigger slowly before update on inventory_level for each statement execute function public.slowly();
"""
_AT_FULL_SPEED = "drop function if exists public.slowly cascade"
_ORDERS, _STEP = 6, 0.08
# One item, the other, and mostly both: then two locks are needed, and nobody may wait for them in a ring.
_CARTS = (STOCKED, STOCKED[:1], STOCKED[::-1], STOCKED[1:], STOCKED, STOCKED[::-1])
_LINES = sum(len(_CARTS[number % len(_CARTS)]) for number in range(_ORDERS))


@asynccontextmanager
async def _slow_shelves(shop_db: Connection) -> AsyncIterator[None]:
    await shop_db.execute(_SLOWLY)
    try:
        yield
    finally:
        await shop_db.execute(_AT_FULL_SPEED)


async def test_stock_stays_the_sum_of_the_live_reservations(
    medusa: Medusa, sidecar: Sidecar, shop_db: Connection
) -> None:
    earlier = [await medusa.complete(cart) for cart in await _filled_carts(medusa)]
    carts = await _filled_carts(medusa)
    before = await shop_db.fetch(_SHELF, list(STOCKED))

    later, answers = [], []
    async with _slow_shelves(shop_db):
        for number, (placed, cart) in enumerate(zip(earlier, carts, strict=True)):
            completing = asyncio.create_task(medusa.complete(cart))
            await asyncio.sleep(number * _STEP)  # somewhere on the way the two meet at the shelf
            answers.append(await sidecar.cancel(placed.id))
            later.append(await completing)
        for placed in earlier:
            await settled(shop_db, placed.id)

    assert [answer.status_code for answer in answers] == [200] * len(earlier)
    assert await shop_db.fetchval(_LIVE_RESERVATIONS, [placed.id for placed in earlier]) == 0
    assert await shop_db.fetchval(_LIVE_RESERVATIONS, [placed.id for placed in later]) == _LINES
    for shelf, was in zip(await shop_db.fetch(_SHELF, list(STOCKED)), before, strict=True):
        assert shelf["reserved"] == shelf["raw"] == shelf["live"], dict(shelf)
        assert shelf["stocked"] == was["stocked"], dict(shelf)


@pytest.mark.parametrize(("busy", "free"), [STOCKED, STOCKED[::-1]])
async def test_a_release_does_not_sit_on_one_item_while_it_waits_for_another(
    medusa: Medusa, sidecar: Sidecar, shop_db: Connection, busy: str, free: str
) -> None:
    """It would end checkouts of that item with 409, and worse: what Medusa gives up waiting for, it leaves locked."""
    placed = await medusa.place_order(skus=STOCKED)
    cart = await medusa.fill_cart(skus=(free,))

    async with _held(medusa.lab, medusa.shop.inventory_items[busy]):
        assert (await sidecar.cancel(placed.id)).status_code == 200
        await asyncio.sleep(0.3)
        began = time.monotonic()
        await medusa.complete(cart)
        assert time.monotonic() - began < 4, f"a checkout of {free} had to wait for our release"

    await settled(shop_db, placed.id)
    for shelf in await shop_db.fetch(_SHELF, list(STOCKED)):
        assert shelf["reserved"] == shelf["raw"] == shelf["live"], dict(shelf)


@asynccontextmanager
async def _held(lab: Lab, item: str) -> AsyncIterator[None]:
    """Medusa's lock of an item in somebody else's hands."""
    async with Redis.from_url(lab.surroundings.redis) as redis:
        lock = f"{LOCK_NAMESPACE}{item}"
        assert await redis.set(lock, "execute:a-long-fulfillment", nx=True, ex=60)
        try:
            yield
        finally:
            await redis.delete(lock)


async def _filled_carts(medusa: Medusa) -> list[Cart]:
    async def fill(number: int) -> Cart:
        return await medusa.fill_cart(quantity=1 + number % 3, skus=_CARTS[number % len(_CARTS)])

    return await asyncio.gather(*(fill(number) for number in range(_ORDERS)))
