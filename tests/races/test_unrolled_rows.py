"""What the explorer plays instead of a function leaves the very rows that the function leaves.

Each call of production is made in a transaction that is rolled back, then its mirror is played for good: every row of
every table is compared, save for what is new each time (ids, moments).
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import asyncpg
import msgspec
import pytest

from app.domain.jobs import JobKind
from app.embedded.shop import PlacedOrder
from app.ports import Connection
from app.settings import Settings
from plugins.medusa_bridge import at_once
from tests.http.helpers import everything
from tests.races.explorer.postgres_seam import _UNROLLED, WiredConnection
from tests.usecases.ground import Hand, opened
from tests.world import Shop

CALLS: Final = {
    "take": at_once._TAKE,
    "cancel": at_once._CANCEL,
}
_NEW_EACH_TIME: Final = re.compile(
    r"[0-7][0-9A-HJKMNP-TV-Z]{25}|\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d(:\d\d)?)?|\b\d{10}\.\d{6}\b"
    r'|"(id|waited_ms|ms|waiting_for_ms)": \d+(\.\d+)?'
)


@dataclass
class Played:
    """A call that production made, and what function and mirror left of it."""

    statement: str
    by_function: dict[str, list[str]]
    by_mirror: dict[str, list[str]]
    answers: tuple[Any, Any]


class _Comparing:
    """A connection whose calls of the functions are made twice."""

    def __init__(self, inner: Any, raw: asyncpg.Connection, played: list[Played]) -> None:
        self._inner, self._raw, self._played = inner, raw, played

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def fetch(self, statement: str, *args: Any) -> Any:
        return await self._compare(statement, args, self._raw.fetch)

    async def fetchval(self, statement: str, *args: Any) -> Any:
        return await self._compare(statement, args, self._raw.fetchval)

    async def _compare(self, statement: str, args: tuple[Any, ...], ask: Callable[..., Awaitable[Any]]) -> Any:
        if statement not in CALLS.values():
            return await ask(statement, *args)
        undone = self._raw.transaction()
        await undone.start()
        first = await ask(statement, *args)
        left = await _rows(self._raw)
        await undone.rollback()
        second = await _UNROLLED[statement](_Direct(self._raw), *args)
        self._played.append(Played(statement, left, await _rows(self._raw), (first, second)))
        return second


class _Direct(WiredConnection):
    """The mirror's statements, straight to the database."""

    def __init__(self, raw: asyncpg.Connection) -> None:
        self._raw = raw

    async def execute(self, statement: str, *args: Any) -> Any:
        return await self._raw.execute(statement, *args)

    async def fetch(self, statement: str, *args: Any) -> Any:
        return await self._raw.fetch(statement, *args)

    async def fetchval(self, statement: str, *args: Any) -> Any:
        return await self._raw.fetchval(statement, *args)

    async def fetchrow(self, statement: str, *args: Any) -> Any:
        return await self._raw.fetchrow(statement, *args)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        yield


class _OneConnection:
    """``app.ports.Database`` of a single connection."""

    crowded = False

    def __init__(self, raw: asyncpg.Connection, played: list[Played]) -> None:
        self._conn: Any = _Comparing(raw, raw, played)
        self._raw = raw

    @asynccontextmanager
    async def single(self, name: str) -> AsyncIterator[Connection]:
        yield self._conn

    read = single

    @asynccontextmanager
    async def transaction(self, name: str) -> AsyncIterator[Connection]:
        async with self._raw.transaction():
            yield self._conn


async def _rows(conn: asyncpg.Connection) -> dict[str, list[str]]:
    rows = await everything(conn)
    rows["grace.events"] = [row[0] for row in await conn.fetch("select to_jsonb(e)::text from grace.events as e")]
    return {table: sorted(_NEW_EACH_TIME.sub("*", row) for row in found) for table, found in rows.items()}


@pytest.fixture
async def playing(shop: Shop, database: str, settings: Settings) -> AsyncIterator[tuple[Hand, list[Played]]]:
    """A hand whose every call of a function is compared with its mirror."""
    played: list[Played] = []
    raw = await asyncpg.connect(database)
    await raw.set_type_codec("jsonb", schema="pg_catalog", encoder=json.dumps, decoder=json.loads)
    no_waiting = msgspec.structs.replace(
        settings, policy=msgspec.structs.replace(settings.policy, void_wait=timedelta(0))
    )
    try:
        async with opened(no_waiting) as services:
            yield Hand(msgspec.structs.replace(services, db=_OneConnection(raw, played)), shop), played
    finally:
        await raw.close()


def agree(played: list[Played], *names: str) -> None:
    """The mirrors of these calls were played, and each left the function's rows."""
    assert [one.statement for one in played] == [CALLS[name] for name in names]
    for one in played:
        assert one.by_mirror == one.by_function
        if isinstance(one.answers[0], bool):
            assert one.answers[0] is one.answers[1]
        else:
            first, second = ([dict(row) for row in answer] for answer in one.answers)
            for row in (*first, *second):
                row.pop("late", None)
                row.pop("read_at", None)
            assert first == second


async def _canceled(playing: tuple[Hand, list[Played]], shop: Shop) -> PlacedOrder:
    hand, _ = playing
    order = await shop.place(amounts=("10", "20"))
    await hand.schedule(order, JobKind.CAPTURE)
    await hand.cancel(order)
    return order


async def test_a_cancel(playing: tuple[Hand, list[Played]], shop: Shop) -> None:
    await _canceled(playing, shop)
    agree(playing[1], "cancel")


async def test_a_claim(playing: tuple[Hand, list[Played]], shop: Shop) -> None:
    hand, played = playing
    order = await _canceled(playing, shop)
    await hand.run(order, JobKind.VOID, order.payment_ids[0])
    agree(played, "cancel", "take")
