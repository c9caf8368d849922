"""What a cancel asks of Postgres: a round trip more is a slower flash sale, and nobody would notice it otherwise."""

from __future__ import annotations

from typing import Any

import pytest

from app.settings import Settings
from app.store import database as databases
from tests.databases import one_database_a_file
from tests.races.explorer.labels import label
from tests.world import Shop, serving, settings_for, token_for

database = one_database_a_file()

CANCEL = ["read_with_key", "cancel_order"]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every statement of the pool, in order."""
    statements: list[str] = []
    prepare = databases._read_json

    async def listening(conn: Any) -> None:
        await prepare(conn)
        conn.add_query_logger(lambda record: statements.append(_named(record.query)))

    monkeypatch.setattr(databases, "_read_json", listening)
    return statements


def _named(query: str) -> str:
    return "begin" if query.startswith("begin ") else label(query)


async def test_a_cancel_that_waits_for_nothing(
    shop: Shop, database: str, redis_url: str, sandbox: Any, asked: list[str]
) -> None:
    settings = settings_for(database, redis_url, sandbox, VOID_WAIT_SECONDS="0")
    order = await shop.place()
    async with serving(settings, shop.key) as api:
        await api.cancel((await shop.place()).id)  # types are looked up once a connection
        asked.clear()
        answer = await api.cancel(order.id)
        assert answer.json()["payment_action"] == "void_pending"
        assert asked == CANCEL


async def test_one_that_waits_asks_one_light_question_at_a_time(
    shop: Shop, database: str, redis_url: str, sandbox: Any, asked: list[str]
) -> None:
    settings = settings_for(database, redis_url, sandbox, VOID_WAIT_SECONDS="1")
    order = await shop.place()
    async with serving(settings, shop.key) as api:
        await api.cancel((await shop.place()).id)
        asked.clear()
        await api.cancel(order.id)
    assert asked[: len(CANCEL)] == CANCEL
    after = asked[len(CANCEL) :]
    assert set(after) == {"void_is_open"}
    assert 5 < len(after) < 14, "ten a second"


async def test_a_preview_needs_no_transaction(shop: Shop, settings: Settings, asked: list[str]) -> None:
    order = await shop.place()
    headers = {"x-publishable-api-key": shop.key, "x-modification-token": token_for(order.id)}
    async with serving(settings, shop.key) as api:
        asked.clear()
        assert (await api.client.get(f"/store/orders/{order.id}/cancel", headers=headers)).status_code == 200
    assert asked == ["read_with_key"]
