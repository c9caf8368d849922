"""A crowd at one order, whose row somebody holds, leaves the connections to everybody else."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from app.embedded.shop import PlacedOrder
from app.ports import Unavailable
from app.usecases.cancel_order import Canceled
from app.usecases.crowds import FEW, Crowds
from tests.usecases.ground import Hand
from tests.world import Shop, eventually

CROWD = 24
"""Three times as many as there are connections."""

WAITING = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"


async def test_others_are_served_beside_a_crowd(hand: Hand, shop: Shop, database: str) -> None:
    besieged, *others = [await shop.place() for _ in range(7)]
    rival = await asyncpg.connect(database)
    async with rival.transaction():
        await rival.execute('select from "order" where id = $1 for update', besieged.id)
        crowd = [asyncio.create_task(hand.cancel(besieged)) for _ in range(CROWD)]
        await eventually(lambda: _at_least(shop, FEW), message="nobody waits for the row")
        asked = asyncio.create_task(_one_by_one(hand, others))
        while not asked.done():
            assert await shop.conn.fetchval(WAITING) <= FEW, "the crowd takes one connection after the other"
            await asyncio.sleep(0.005)
        assert [answer.already for answer in await asked] == [False] * len(others)
    answers = await asyncio.gather(*crowd, return_exceptions=True)
    assert all(isinstance(answer, Canceled | Unavailable) for answer in answers), answers
    await rival.close()
    assert await hand.cancel(besieged), "the door is open again"


async def test_who_waits_too_long_is_sent_away_and_the_turn_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.usecases.crowds.PATIENCE", 0.05)
    crowds, leave = Crowds(), asyncio.Event()

    async def stay() -> None:
        async with crowds.one_of_few("order_1"):
            await leave.wait()

    inside = [asyncio.create_task(stay()) for _ in range(FEW)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable, match="order_1"):
        await stay()
    async with crowds.one_of_few("order_2"):
        pass
    leave.set()
    await asyncio.gather(*inside)
    for _ in range(2 * FEW):
        await stay()


async def _one_by_one(hand: Hand, orders: list[PlacedOrder]) -> list[Canceled]:
    answers = [await hand.cancel(order) for order in orders]
    return [answer for answer in answers if isinstance(answer, Canceled)]


async def _at_least(shop: Shop, sessions: int) -> bool:
    return bool(await shop.conn.fetchval(WAITING) >= sessions)
