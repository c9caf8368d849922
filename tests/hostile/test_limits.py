"""Two processes and one Redis: a limit counts what both were asked; without Redis it is open."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from app.embedded.stripe_sandbox.client import Sandbox
from app.embedded.valkey import Valkey
from app.gateways.redis_limits import WINDOW
from tests.hostile.ground import Served, served
from tests.world import Shop, token_for

LIMIT = 10


@pytest.fixture
def pair(database: str, own_valkey: Valkey, sandbox: Sandbox, tmp_path: Path) -> Iterator[tuple[Served, Served]]:
    """Behind a proxy that says whose request it is."""
    url = own_valkey.url(0)
    limits = {"RATE_LIMIT_PER_ORDER": str(LIMIT), "RATE_LIMIT_PER_ADDRESS": str(2 * LIMIT)}
    with (
        served(database, url, sandbox, tmp_path / "one.log", **limits) as one,
        served(database, url, sandbox, tmp_path / "other.log", **limits) as other,
    ):
        yield one, other


async def _ask(server: Served, shop: Shop, order_id: str, address: str) -> int:
    headers = {
        "x-publishable-api-key": shop.key,
        "x-modification-token": token_for(order_id),
        "x-forwarded-for": address,
    }
    async with httpx.AsyncClient(timeout=20) as client:
        answer = await client.post(f"{server.url}/store/orders/{order_id}/cancel", headers=headers)
    assert answer.status_code != 429 or 0 < int(answer.headers["retry-after"]) <= WINDOW
    return answer.status_code


async def _early_in_a_window() -> None:
    left = WINDOW - time.time() % WINDOW
    if left < 8:
        await asyncio.sleep(left + 0.1)


async def test_limits_are_shared_and_open_without_redis(
    pair: tuple[Served, Served], own_valkey: Valkey, unchanged: Shop
) -> None:
    await _early_in_a_window()
    of_order = [await _ask(pair[n % 2], unchanged, "order_one", f"203.0.113.{n}") for n in range(LIMIT + 4)]
    assert of_order == [404] * LIMIT + [429] * 4

    of_address = [await _ask(pair[n % 2], unchanged, f"order_{n}", "198.51.100.9") for n in range(2 * LIMIT + 4)]
    assert of_address == [404] * 2 * LIMIT + [429] * 4
    assert await _ask(pair[0], unchanged, "order_x", "198.51.100.10") == 404, "another address is not limited"

    own_valkey.stop()
    without = [await _ask(pair[n % 2], unchanged, "order_one", "198.51.100.9") for n in range(6)]
    assert without == [404] * 6
