"""The cancel locks the order, then its payments, and believes only what it reads after it has waited."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from decimal import Decimal
from typing import Any

import asyncpg
import httpx
import pytest

from app.embedded.shop import PlacedOrder
from app.embedded.shop_acts import cancel_by_medusa, capture_by_medusa, complete, drop_capture, open_order_change
from app.embedded.shop_parcels import fulfill
from app.embedded.stripe_sandbox.client import Sandbox
from tests.databases import one_database_a_file
from tests.http.rows import add_capture_job, waiting_for_a_lock
from tests.world import Api, Shop, serving, settings_for

database = one_database_a_file()

ORDER_ROW = 'select id from "order" where id = $1 for update'
OURS = "select count(*) from grace.cancellations where order_id = $1"
PAYMENT_ROW = "select id from payment where id = $1 for update"

Act = Callable[[asyncpg.Connection, PlacedOrder], Awaitable[Any]]


@asynccontextmanager
async def locked(rival: asyncpg.Connection, statement: str, row: str) -> AsyncIterator[None]:
    """A transaction of somebody else's that holds the row, and commits what is done meanwhile."""
    async with rival.transaction():
        await rival.execute(statement, row)
        yield


async def free(conn: asyncpg.Connection, statement: str, row: str) -> bool:
    """Whether nobody holds the row."""
    try:
        await conn.fetch(f"{statement} nowait", row)
    except asyncpg.LockNotAvailableError:
        return False
    return True


async def cancel_meanwhile(
    api: Api, shop: Shop, rival: asyncpg.Connection, order: PlacedOrder, act: Act, statement: str, row: str
) -> httpx.Response:
    """The cancel waits for the row while ``act`` happens, and goes on after its commit."""
    async with locked(rival, statement, row):
        asked = asyncio.create_task(api.cancel(order.id))
        await waiting_for_a_lock(shop.conn)
        await act(rival, order)
        assert not asked.done()
    return await asked


async def captured(conn: asyncpg.Connection, order: PlacedOrder) -> None:
    await capture_by_medusa(conn, order, order.payment_ids[0])


async def being_captured(conn: asyncpg.Connection, order: PlacedOrder) -> None:
    await capture_by_medusa(conn, order, order.payment_ids[0], in_flight=True)


async def partly_captured(conn: asyncpg.Connection, order: PlacedOrder) -> None:
    await capture_by_medusa(conn, order, order.payment_ids[0], Decimal(5))


async def claimed_by_our_worker(conn: asyncpg.Connection, order: PlacedOrder) -> None:
    await conn.execute(
        "update grace.jobs set state = 'running', in_doubt = true, lease_until = now() + interval '20 s'"
        " where order_id = $1",
        order.id,
    )


MEANWHILE: dict[str, tuple[Act, str]] = {
    "captured": (captured, "captured"),
    "capture row, Stripe not asked yet": (being_captured, "capture_in_flight"),
    "partly captured": (partly_captured, "partial_capture"),
    "packed": (fulfill, "fulfilled"),
    "edited": (open_order_change, "order_change_pending"),
    "completed": (complete, "completed"),
    "claimed by our worker": (claimed_by_our_worker, "capture_in_flight"),
}


@pytest.mark.parametrize(("act", "reason"), MEANWHILE.values(), ids=MEANWHILE.keys())
async def test_while_it_waits_for_the_order(
    shop: Shop, api: Api, rival: asyncpg.Connection, act: Act, reason: str
) -> None:
    order = await shop.place()
    await add_capture_job(shop, order, "queued")

    answer = await cancel_meanwhile(api, shop, rival, order, act, ORDER_ROW, order.id)

    assert answer.status_code in {409, 422}
    body = answer.json()
    assert body.get("reason", body["code"]) == reason
    assert await shop.status(order) in {"pending", "completed"}
    assert await shop.conn.fetchval(OURS, order.id) == 0
    assert (await shop.payment(order))["canceled_at"] is None


async def capture_row(conn: asyncpg.Connection, order: PlacedOrder, amount: Decimal | None = None) -> None:
    await capture_by_medusa(conn, order, order.payment_ids[0], amount, in_flight=True)


async def captured_at(conn: asyncpg.Connection, order: PlacedOrder) -> None:
    await capture_row(conn, order)
    await conn.execute("update payment set captured_at = now() where id = $1", order.payment_ids[0])


async def parcel(conn: asyncpg.Connection, order: PlacedOrder) -> None:
    await conn.execute(
        "insert into fulfillment (id, location_id, provider_id) values ($1, 'sloc_1', 'manual')", order.id
    )
    link = "insert into order_fulfillment (order_id, fulfillment_id, id) values ($1, $1, $1)"
    await conn.execute(link, order.id)


# The cancel holds the order row by then, so that whatever refers to it waits: order_change and order_transaction
# have foreign keys. A capture row and a parcel do not.
AT_THE_PAYMENT: dict[str, tuple[Act, str]] = {
    "capture row": (capture_row, "capture_in_flight"),
    "capture row of a part": (lambda conn, order: capture_row(conn, order, Decimal(5)), "partial_capture"),
    "captured_at": (captured_at, "captured"),
    "parcel": (parcel, "fulfilled"),
}


@pytest.mark.parametrize(("act", "reason"), AT_THE_PAYMENT.values(), ids=AT_THE_PAYMENT.keys())
async def test_while_it_waits_for_the_payment(
    shop: Shop, api: Api, rival: asyncpg.Connection, act: Act, reason: str
) -> None:
    """The row that Medusa's own capture locks: it has written its capture row when it lets go."""
    order = await shop.place()

    answer = await cancel_meanwhile(api, shop, rival, order, act, PAYMENT_ROW, order.payment_ids[0])

    body = answer.json()
    assert body.get("reason", body["code"]) == reason
    assert await shop.status(order) == "pending"
    assert (await shop.payment(order))["canceled_at"] is None


async def test_no_edit_begins_beneath_it(shop: Shop, api: Api, rival: asyncpg.Connection) -> None:
    """FOR UPDATE, not FOR NO KEY UPDATE: a new order_change waits for the order it refers to."""
    order = await shop.place()
    async with locked(rival, PAYMENT_ROW, order.payment_ids[0]):
        asked = asyncio.create_task(api.cancel(order.id))
        await waiting_for_a_lock(shop.conn)
        await shop.conn.execute("set lock_timeout = '100ms'")
        with pytest.raises(asyncpg.LockNotAvailableError):
            await open_order_change(shop.conn, order)
    assert (await asked).status_code == 200


async def test_canceled_by_the_admin_while_it_waits(shop: Shop, api: Api, rival: asyncpg.Connection) -> None:
    order = await shop.place()

    answer = await cancel_meanwhile(api, shop, rival, order, cancel_by_medusa, ORDER_ROW, order.id)

    assert answer.json() == {
        "order_id": order.id,
        "status": "canceled",
        "payment_action": "voided",
        "message": "Already canceled",
    }
    assert await shop.conn.fetchval("select count(*) from grace.jobs where order_id = $1", order.id) == 0


async def test_a_capture_that_vanishes(shop: Shop, api: Api, rival: asyncpg.Connection) -> None:
    """A refusal waits for no lock. Once Stripe has refused Medusa's capture and the row is gone, the order can be
    canceled after all."""
    order = await shop.place()
    capture_id = await capture_by_medusa(shop.conn, order, order.payment_ids[0], in_flight=True)

    async with locked(rival, PAYMENT_ROW, order.payment_ids[0]):
        refused = await api.cancel(order.id)
        assert (refused.status_code, refused.json()["reason"]) == (409, "capture_in_flight")
        await drop_capture(rival, capture_id)

    assert (await api.cancel(order.id)).status_code == 200


async def test_nothing_happened_while_it_waited(shop: Shop, api: Api, rival: asyncpg.Connection) -> None:
    order = await shop.place()

    async def nothing(conn: asyncpg.Connection, order: PlacedOrder) -> None:
        """Medusa opened a page, maybe."""

    answer = await cancel_meanwhile(api, shop, rival, order, nothing, ORDER_ROW, order.id)

    assert answer.status_code == 200


async def test_the_order_first(shop: Shop, api: Api, rival: asyncpg.Connection) -> None:
    """Waiting for the order it holds no payment, so that a capture under way can end."""
    order = await shop.place()
    async with locked(rival, ORDER_ROW, order.id):
        asked = asyncio.create_task(api.cancel(order.id))
        await waiting_for_a_lock(shop.conn)
        assert await free(shop.conn, PAYMENT_ROW, order.payment_ids[0])
    assert (await asked).status_code == 200


@pytest.mark.parametrize("number", [0, 1])
async def test_then_every_payment(shop: Shop, api: Api, rival: asyncpg.Connection, number: int) -> None:
    """Waiting for a payment it holds the order, and the payments before it: one order of locks for everybody."""
    order = await shop.place(amounts=("10", "19.7381"), same_collection=False)
    payments = sorted(order.payment_ids)
    async with locked(rival, PAYMENT_ROW, payments[number]):
        asked = asyncio.create_task(api.cancel(order.id))
        await waiting_for_a_lock(shop.conn)
        assert not await free(shop.conn, ORDER_ROW, order.id)
        assert await free(shop.conn, PAYMENT_ROW, payments[0]) is False
    assert (await asked).status_code == 200


async def test_a_refusal_lets_go_of_its_locks(shop: Shop, api: Api) -> None:
    order = await shop.place()
    await captured(shop.conn, order)
    assert (await api.cancel(order.id)).status_code == 409
    assert await free(shop.conn, ORDER_ROW, order.id)
    assert await free(shop.conn, PAYMENT_ROW, order.payment_ids[0])


async def test_other_orders_do_not_wait(shop: Shop, api: Api, rival: asyncpg.Connection) -> None:
    order, other = await shop.place(), await shop.place()
    async with locked(rival, ORDER_ROW, order.id):
        asked = asyncio.create_task(api.cancel(order.id))
        await waiting_for_a_lock(shop.conn)
        assert (await asyncio.wait_for(api.cancel(other.id), 1)).status_code == 200
    await asked


async def test_in_time_although_it_waited_past_the_end(
    shop: Shop, database: str, redis_url: str, sandbox: Sandbox, rival: asyncpg.Connection
) -> None:
    """The shopper asked within the grace period; that somebody held the row is not theirs to pay for."""
    settings = settings_for(database, redis_url, sandbox, VOID_WAIT_SECONDS="0", GRACE_PERIOD_SECONDS="60")
    async with serving(settings, shop.key) as api:
        late = await shop.place(placed_ago=timedelta(seconds=60))
        order = await shop.place(placed_ago=timedelta(seconds=59))
        async with locked(rival, ORDER_ROW, order.id):
            asked = asyncio.create_task(api.cancel(order.id))
            await asyncio.sleep(1.3)
        assert (await asked).status_code == 200
        assert (await api.cancel(late.id)).json()["reason"] == "grace_period_over"


async def test_twenty_at_once_without_a_worker(shop: Shop, api: Api) -> None:
    order = await shop.place()
    answers = await asyncio.gather(*(api.cancel(order.id) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}
    assert sum("message" not in answer.json() for answer in answers) == 1
    assert await shop.conn.fetchval(OURS, order.id) == 1
    assert await shop.conn.fetchval("select count(*) from grace.jobs where order_id = $1", order.id) == 3
