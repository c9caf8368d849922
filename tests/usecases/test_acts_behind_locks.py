"""An operator's act is decided by what stands once the order's lock is had, not by what stood when it was asked for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import msgspec
import pytest

from app.domain.incidents import IncidentKind
from app.domain.jobs import JobKind
from app.domain.order import Order
from app.embedded.shop import PlacedOrder
from app.ports import Connection, Orders, Services
from app.store import incidents
from app.usecases.operator_acts import Acted, ActRequest
from app.usecases.refund_late_money import refund_late_money
from app.usecases.retry_incident import retry_incident
from app.usecases.settle_incident import settle_incident
from tests.usecases.hand import Hand
from tests.world import Shop

Act = Callable[[Services, ActRequest], Awaitable[Acted]]
ACTS: dict[str, Act] = {
    "retry": retry_incident,
    "refund": refund_late_money,
    "settle": partial(settle_incident, name="Ada", note="done"),
}


async def late(hand: Hand, shop: Shop) -> tuple[PlacedOrder, ActRequest]:
    order = await shop.place()
    await hand.cancel(order)
    await hand.services.gateway.capture(order.intent_ids[0], amount=2974, key="elsewhere")
    await hand.run(order, JobKind.VOID)
    number = await shop.conn.fetchval("select id from grace.incidents where order_id = $1", order.id)
    return order, ActRequest(incident_id=number, actor="ada@shop.test", token="01J00000000000000000000001")


class Slow:
    """The shop's orders, whose lock is had after something else was done."""

    def __init__(self, inner: Orders, first: Callable[[], Awaitable[None]]) -> None:
        self._inner, self._first = inner, first

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def lock_order(self, conn: Connection, order_id: str) -> Order | None:
        await self._first()
        return await self._inner.lock_order(conn, order_id)


@pytest.mark.parametrize("act", ACTS)
async def test_an_incident_that_closes_while_the_act_waits_is_closed(hand: Hand, shop: Shop, act: str) -> None:
    order, request = await late(hand, shop)
    before = await hand.jobs(order)

    async def close() -> None:
        await incidents.close(shop.conn, order.id, IncidentKind.LATE_MONEY)

    services = msgspec.structs.replace(hand.services, orders=Slow(hand.services.orders, close))
    assert await ACTS[act](services, request) is Acted.CLOSED
    assert await hand.jobs(order) == before
    assert await shop.conn.fetchval("select count(*) from grace.events where kind like 'act_%'") == 0


@pytest.mark.parametrize("act", ACTS)
async def test_no_such_incident(hand: Hand, shop: Shop, act: str) -> None:
    order, request = await late(hand, shop)
    unknown = ActRequest(incident_id=request.incident_id + 1, actor=request.actor, token=request.token)
    assert await ACTS[act](hand.services, unknown) is Acted.UNKNOWN
    assert await shop.incidents(order) == ["late_money"]


async def test_what_an_act_schedules_wakes_the_workers(hand: Hand, shop: Shop) -> None:
    order, request = await late(hand, shop)
    woken: list[str] = []

    class Wakeup:
        async def wake(self) -> None:
            woken.append("woken")

        async def close(self) -> None:
            """Nothing."""

    services = msgspec.structs.replace(hand.services, wakeup=Wakeup())
    assert await retry_incident(services, request) is Acted.DONE
    other = ActRequest(incident_id=request.incident_id, actor="bob@shop.test", token="01J00000000000000000000002")
    assert await refund_late_money(services, other) is Acted.DONE
    assert woken == ["woken", "woken"]
    assert {kind for kind, _ in await hand.jobs(order)} >= {"look", "refund"}
