"""503: something that is needed does not answer. Nothing was changed, and soon it works again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from decimal import Decimal
from typing import Any

import asyncpg
import httpx
import msgspec
import pytest

from app.embedded.postgres import Postgres
from app.http.admission import TURNED_AWAY_AFTER
from app.http.desk import Desk
from app.main import build_app
from app.ports import CommitUnknown, Connection, Database, Unavailable
from app.settings import Settings
from app.usecases import cancel_order
from tests.http.answers import assert_answer
from tests.http.rows import everything
from tests.world import Api, Shop, eventually, transport_to

UNAVAILABLE = {
    "code": "service_unavailable",
    "type": "unexpected_state",
    "message": "The order could not be canceled just now. Nothing was changed. Please try again in a moment.",
}
UNCONFIRMED = {
    **UNAVAILABLE,
    "message": "It could not be confirmed that the order is canceled. Please try again in a moment.",
}


def assert_unavailable(answer: httpx.Response, body: dict[str, str] = UNAVAILABLE) -> None:
    assert_answer(answer, 503, body)
    assert int(answer.headers["retry-after"]) > 0


async def test_locked_rows(shop: Shop, api: Api, rival: asyncpg.Connection) -> None:
    """Order or payment stay locked for longer than Medusa itself would wait (3 s)."""
    by_order, by_payment = await shop.place(), await shop.place()
    before = await everything(shop.conn)
    held = rival.transaction()
    await held.start()
    await rival.execute('select from "order" where id = $1 for update', by_order.id)
    await rival.execute("select from payment where id = $1 for update", by_payment.payment_ids[0])

    began = time.monotonic()
    answers = await asyncio.gather(api.cancel(by_order.id), api.cancel(by_payment.id))
    took = time.monotonic() - began
    await held.rollback()

    for answer in answers:
        assert_unavailable(answer)
    assert 1 < took < 3, f"gave up after {took:.1f} s"
    assert await everything(shop.conn) == before
    for order in (by_order, by_payment):
        assert (await api.cancel(order.id)).status_code == 200


async def test_database_gone(shop: Shop, api: Api, postgres: Postgres, database: str) -> None:
    order = await shop.place()
    await api.cancel("order_unknown")
    await asyncio.to_thread(postgres.kill)
    try:
        began = time.monotonic()
        assert_unavailable(await api.cancel(order.id))
        assert_unavailable(await api.client.get(f"/store/orders/{order.id}/cancel"))
        assert time.monotonic() - began < 5
        assert (await api.client.get("/health/ready")).status_code == 503
        assert (await api.client.get("/health/live")).status_code == 200
    finally:
        await asyncio.to_thread(postgres.restart)
    conn = await asyncpg.connect(database)
    assert await conn.fetchval('select status from "order" where id = $1', order.id) == "pending"
    await conn.close()

    async def canceled() -> bool:
        return (await api.cancel(order.id)).status_code == 200

    await eventually(canceled, message="it did not connect again")


async def test_database_dies_at_work(shop: Shop, api: Api, postgres: Postgres) -> None:
    """Eight connections are in the middle of something. asyncpg words that in more ways than one."""
    orders = [await shop.place(payments=(), total=Decimal(0)) for _ in range(8)]
    await asyncio.gather(*(api.cancel("order_unknown") for _ in range(8)))

    at_work = asyncio.Event()

    async def cancel_again_and_again(order_id: str) -> set[int]:
        statuses = set()
        for _ in range(12):
            statuses.add((await api.cancel(order_id)).status_code)
            at_work.set()
        return statuses

    asked = [asyncio.create_task(cancel_again_and_again(order.id)) for order in orders]
    await at_work.wait()
    await asyncio.to_thread(postgres.kill)
    try:
        answers = set[int]().union(*(await asyncio.gather(*asked)))
    finally:
        await asyncio.to_thread(postgres.restart)
    assert answers == {200, 503}


async def test_every_connection_is_cut(shop: Shop, api: Api) -> None:
    """As a failover does: the pool's idle connections are dead, and the first request finds out."""
    order = await shop.place()
    await api.cancel("order_unknown")
    await shop.conn.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity "
        "where datname = current_database() and application_name = 'medusa-grace'"
    )
    answers = [await api.cancel(order.id) for _ in range(2)]
    assert {answer.status_code for answer in answers} <= {200, 503}
    assert answers[-1].status_code == 200


async def test_database_that_only_reads(shop: Shop, api: Api) -> None:
    order = await shop.place()
    name = await shop.conn.fetchval("select current_database()")
    await shop.conn.execute(f'alter database "{name}" set default_transaction_read_only = on')
    await shop.conn.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity "
        "where datname = current_database() and application_name = 'medusa-grace'"
    )
    await asyncio.sleep(0.1)
    assert_unavailable(await api.cancel(order.id))


async def test_connection_lost_in_the_commit(shop: Shop, api: Api) -> None:
    """The server dies while it commits: the API looks again, finds nothing done, and cannot know that it never will."""
    order = await shop.place()
    await shop.conn.execute("""
        create function die() returns trigger language plpgsql as
        $$ begin perform pg_terminate_backend(pg_backend_pid()); return null; end $$;
        create constraint trigger dies_in_the_commit after insert on grace.cancellations
        deferrable initially deferred for each row execute function die();
    """)
    before = await everything(shop.conn)

    assert_unavailable(await api.cancel(order.id), UNCONFIRMED)

    assert await everything(shop.conn) == before
    await shop.conn.execute("drop trigger dies_in_the_commit on grace.cancellations")
    assert (await api.cancel(order.id)).json().get("message") is None


class AnswerLost:
    """A database that commits the cancel, but the answer never comes; ``for_good`` when it cannot be asked later.
    ``under_way``: it has not even begun yet, as where a proxy lost us and the server knows nothing of it;
    ``frozen``: a later question waits; ``first``: another request's cancel, made between this one's read and write."""

    def __init__(
        self,
        inner: Database,
        *,
        for_good: bool = False,
        under_way: bool = False,
        frozen: bool = False,
        first: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        self._first = first
        self._inner = inner
        self._for_good = for_good
        self._under_way = under_way
        self._frozen = frozen
        self.crowded = False

    def transaction(self, name: str) -> AbstractAsyncContextManager[Connection]:
        return self._transaction(name)

    def read(self, name: str) -> AbstractAsyncContextManager[Connection]:
        return self._inner.read(name)

    @asynccontextmanager
    async def single(self, name: str) -> AsyncIterator[Connection]:
        if self._under_way:
            raise CommitUnknown(name)
        if self._first is not None:
            await self._first()
        async with self._inner.single(name) as conn:
            yield conn
        if name == "cancel":
            raise CommitUnknown(name)

    @asynccontextmanager
    async def _transaction(self, name: str) -> AsyncIterator[Connection]:
        if name == "cancel.confirm" and self._for_good:
            raise Unavailable(name)
        if name == "cancel.confirm" and self._frozen:
            await asyncio.sleep(60)
        async with self._inner.transaction(name) as conn:
            yield conn
        if name == "cancel":
            raise CommitUnknown(name)


class Crowded:
    """A database whom nobody may ask: a crowd waits for its connections, from the second time on that one looks."""

    def __init__(self, *, after: int) -> None:
        self._after = after

    @property
    def crowded(self) -> bool:
        self._after -= 1
        return self._after < 0


def _on(desk: Desk, db: Any) -> Desk:
    return msgspec.structs.replace(desk, services=msgspec.structs.replace(desk.services, db=db))


@pytest.mark.parametrize("after", [0, 1], ids=["at the door", "behind the rate limits"])
async def test_a_crowd_is_turned_away_before_the_database_is_asked(shop: Shop, settings: Settings, after: int) -> None:
    """Else all wait in vain, those who are half done with them: under a flood nothing at all would be canceled."""
    order = await shop.place()
    app = build_app(settings)
    async with app.lifespan():
        desk: Desk = app.state.desk
        transport = transport_to(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://grace.test") as client:
            api = Api(client, shop.key)
            app.state.desk = _on(desk, Crowded(after=after))
            began = time.monotonic()
            assert_unavailable(await api.cancel(order.id))
            assert time.monotonic() - began >= TURNED_AWAY_AFTER, "else a crowd takes all the time to be told so"
            app.state.desk = desk
            assert (await api.cancel(order.id)).status_code == 200


@asynccontextmanager
async def losing_answers(settings: Settings, shop: Shop, **how: Any) -> AsyncIterator[Api]:
    """The API, on a database that loses its connection at the worst moment."""
    app = build_app(settings)
    async with app.lifespan():
        desk: Desk = app.state.desk
        app.state.desk = _on(desk, AnswerLost(desk.services.db, **how))
        transport = transport_to(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://grace.test") as client:
            yield Api(client, shop.key)


async def test_answer_of_the_commit_lost(shop: Shop, settings: Settings) -> None:
    """The cancel was made: the API looks again, and knows it for its own."""
    order = await shop.place()
    async with losing_answers(settings, shop) as api:
        answer = await api.cancel(order.id)
    body = {"order_id": order.id, "status": "canceled", "payment_action": "void_pending"}
    assert_answer(answer, 200, body)


async def test_an_earlier_cancel_is_not_taken_for_this_one(shop: Shop, api: Api, settings: Settings) -> None:
    order = await shop.place()
    async with losing_answers(settings, shop, first=lambda: api.cancel(order.id)) as unlucky:
        answer = await unlucky.cancel(order.id)
    assert_unavailable(answer, UNCONFIRMED)
    assert (await api.cancel(order.id)).json()["message"] == "Already canceled"


async def test_nothing_is_claimed_of_a_commit_that_nobody_can_ask_about(shop: Shop, settings: Settings) -> None:
    order = await shop.place()
    async with losing_answers(settings, shop, for_good=True) as api:
        answer = await api.cancel(order.id)
    assert_unavailable(answer, UNCONFIRMED)
    assert await shop.status(order) == "canceled"


async def test_nothing_is_claimed_of_a_statement_that_may_still_be_run(shop: Shop, settings: Settings) -> None:
    """It holds no lock yet, so that nothing is seen of it; and then it cancels the order."""
    order = await shop.place()
    async with losing_answers(settings, shop, under_way=True) as api:
        answer = await api.cancel(order.id)
    assert_unavailable(answer, UNCONFIRMED)


async def test_nobody_waits_long_to_be_told_that_a_database_that_froze_says_nothing(
    shop: Shop, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cancel_order, "SURE_WITHIN", 1.0)
    order = await shop.place()
    async with losing_answers(settings, shop, frozen=True) as api:
        began = time.monotonic()
        assert_unavailable(await api.cancel(order.id), UNCONFIRMED)
    assert time.monotonic() - began < 6
