"""The explorer plays functions statement by statement: they must be the function's own, in its order."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from app.domain.jobs import JobRef
from plugins.medusa_bridge import at_once, orders
from plugins.medusa_bridge.sqlfile import statement
from tests.races.explorer.labels import label
from tests.races.explorer.postgres_seam import _UNROLLED, WiredConnection

NAMES = {orders._LOCK_ORDER: "lock_order"}
ARGUMENTS: dict[str, tuple[Any, ...]] = {
    at_once._TAKE: ("shop", "job", "capture", "order", 1, timedelta(seconds=1)),
    at_once._CANCEL: ("order", "mark", [], [], *range(7), ["pay"], ["order_2"], [None]),
}
TEXTS = {
    at_once._TAKE: ("take_with_order", ["lock_order"]),  # which the statement adds around the function
    at_once._CANCEL: ("cancel_if_unchanged", []),
}


ROW = {"mark": "mark", **dict.fromkeys(JobRef.__struct_fields__), "order_id": "order"}


class _Listener(WiredConnection):
    """Says yes to everything, and keeps what it was asked."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    async def _hear(self, statement: str, *_: Any) -> list[dict[str, Any]]:
        self.heard.append(NAMES.get(statement) or label(statement))
        return [ROW]

    fetch = execute = fetchval = _hear

    async def fetchrow(self, statement: str, *args: Any) -> Any:
        return (await self._hear(statement, *args))[0]

    async def _lock_order(self, order_id: str) -> Any:
        return await self._hear(orders._LOCK_ORDER, order_id)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        yield


@pytest.mark.parametrize("call", ARGUMENTS, ids=lambda call: TEXTS[call][0])
async def test_a_function_is_played_as_it_is(call: str) -> None:
    name, around = TEXTS[call]
    parts = [part for part in re.findall(r"\{(\w+)\}", statement(f"functions/{name}")) if part != "name"]
    listener = _Listener()
    await _UNROLLED[call](listener, *ARGUMENTS[call])
    assert listener.heard == parts + around
