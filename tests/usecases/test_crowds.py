"""A crowd at one order, whose row somebody holds, leaves the connections to everybody else."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import asyncpg
import pytest

from app.embedded.shop import PlacedOrder
from app.ports import Unavailable
from app.usecases.cancel_order import Canceled, CancelRequest, NotFound, cancel_order
from app.usecases.crowds import FEW, Crowds
from tests.usecases.hand import Hand
from tests.world import Shop, eventually, stepping_in

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


async def test_a_request_without_a_right_waits_for_no_place(hand: Hand, shop: Shop, database: str) -> None:
    order = await shop.place()
    rival = await asyncpg.connect(database)
    async with rival.transaction():
        await rival.execute('select from "order" where id = $1 for update', order.id)
        crowd = [asyncio.create_task(hand.cancel(order)) for _ in range(2 * FEW)]
        await eventually(lambda: _at_least(shop, FEW), message="nobody waits for the row")
        async with asyncio.timeout(1):
            assert await cancel_order(hand.services, _of_a_stranger(order)) == NotFound()
    await asyncio.gather(*crowd)
    await rival.close()


async def test_requests_without_a_right_take_no_place(hand: Hand, shop: Shop) -> None:
    """However many there are, and however slowly they are answered."""
    order = await shop.place()
    go_on, waiting = asyncio.Event(), 0

    async def hold_up(transaction: str) -> None:
        nonlocal waiting
        if transaction == "cancel.look" and waiting < 4 * FEW:
            waiting += 1
            await go_on.wait()

    slow = replace(hand, services=stepping_in(hold_up)(hand.services))
    strangers = [asyncio.create_task(cancel_order(slow.services, _of_a_stranger(order))) for _ in range(4 * FEW)]
    await eventually(lambda: _true(waiting >= FEW), message="they are not there")
    async with asyncio.timeout(2):
        assert isinstance(await hand.cancel(order), Canceled)
    go_on.set()
    assert set(await asyncio.gather(*strangers)) == {NotFound()}


def _of_a_stranger(order: PlacedOrder) -> CancelRequest:
    return CancelRequest(
        order_id=order.id,
        request_id="stranger",
        canceled_by="customer:cus_other",
        received_at=time.monotonic(),
        customer_id="cus_other",
    )


async def _true(value: bool) -> bool:
    return value


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
