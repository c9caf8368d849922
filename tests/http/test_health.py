"""The probes say what is wrong, by name."""

from __future__ import annotations

import asyncpg

from app.embedded.valkey import Valkey
from app.settings import Settings
from tests.world import Api, Shop, eventually, serving, settings_for, working


async def test_all_is_well_once_a_worker_is_there(shop: Shop, settings: Settings, api: Api) -> None:
    answer = await api.client.get("/health/ready")
    assert answer.status_code == 200
    assert answer.json()["status"] == "degraded"
    assert answer.json()["checks"]["worker"] == {"status": "warning", "detail": "none was ever seen"}

    async def well() -> bool:
        return bool((await api.client.get("/health/ready")).json()["status"] == "ok")

    async with working(settings):
        await eventually(well, within=30)
    assert set((await api.client.get("/health/ready")).json()["checks"]) == {
        "database", "migrations", "redis", "worker",
    }  # fmt: skip
    await shop.conn.execute("update grace.heartbeats set seen_at = now() - interval '5 min'")
    assert (await api.client.get("/health/ready")).json()["checks"]["worker"]["status"] == "warning"


async def test_a_dead_redis_degrades_and_no_more(shop: Shop, database: str, own_valkey: Valkey, redis_url: str) -> None:
    settings = settings_for(database, own_valkey.url(), shop.sandbox, MEDUSA_REDIS_URL=redis_url, VOID_WAIT_SECONDS="0")
    async with serving(settings, shop.key) as api:
        assert (await api.client.get("/health/ready")).json()["checks"]["redis"]["status"] == "ok"
        own_valkey.kill()
        answer = await api.client.get("/health/ready")
        assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
        assert answer.json()["checks"]["redis"] == {"status": "warning", "detail": "no answer"}
        order = await shop.place()
        assert (await api.cancel(order.id)).status_code == 200


async def test_a_missing_migration_is_named(shop: Shop, api: Api, conn: asyncpg.Connection) -> None:
    await conn.execute("delete from grace.migrations where name = '0003_people'")
    answer = await api.client.get("/health/ready")
    assert (answer.status_code, answer.json()["status"]) == (503, "unavailable")
    assert answer.json()["checks"]["migrations"] == {"status": "failed", "detail": "missing: 0003_people"}
    assert "worker" not in answer.json()["checks"], "nothing is said of what was not looked at"
