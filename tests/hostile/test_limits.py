"""Two processes and one Redis: a limit counts what both were asked; without Redis it is open."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import httpx
import pytest

from app.embedded.stripe_sandbox.client import Sandbox
from app.embedded.valkey import Valkey
from app.gateways.redis_limits import WINDOW
from tests.hostile.served import Served, served
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


async def _ask_all(pair: tuple[Served, Served], shop: Shop, asked: Sequence[tuple[str, str]]) -> list[int]:
    """Each (order, address) in turn, by turns of one process and the other."""
    return [await _ask(pair[n % 2], shop, order_id, address) for n, (order_id, address) in enumerate(asked)]


def _skipped(pair: tuple[Served, Served]) -> int:
    return sum(server.log.read_text(errors="replace").count("redis.limit_skipped") for server in pair)


async def _within_a_window(
    pair: tuple[Served, Served], shop: Shop, asked: Callable[[int], Sequence[tuple[str, str]]]
) -> list[int]:
    """Ask until a try has neither met the end of a window nor a Redis that was slow to answer, with new names each."""
    for attempt in range(8):
        began, skipped = time.time() // WINDOW, _skipped(pair)
        answers = await _ask_all(pair, shop, asked(attempt))
        if time.time() // WINDOW == began and _skipped(pair) == skipped:
            return answers
    raise AssertionError("this machine is too slow to count on")


async def test_limits_are_shared_and_open_without_redis(
    pair: tuple[Served, Served], own_valkey: Valkey, unchanged: Shop
) -> None:
    of_order = await _within_a_window(
        pair, unchanged, lambda run: [(f"order_one_{run}", f"203.0.{run}.{n}") for n in range(LIMIT + 4)]
    )
    assert of_order == [404] * LIMIT + [429] * 4

    of_address = await _within_a_window(
        pair,
        unchanged,
        lambda run: [
            *((f"order_{n}_{run}", f"198.51.{run}.9") for n in range(2 * LIMIT + 4)),
            (f"order_x_{run}", f"198.51.{run}.10"),
        ],
    )
    assert of_address == [404] * 2 * LIMIT + [429] * 4 + [404], "another address is not limited"

    own_valkey.stop()
    without = await _ask_all(pair, unchanged, [("order_one", "198.51.100.9")] * (2 * LIMIT + 4))
    assert without == [404] * (2 * LIMIT + 4)
