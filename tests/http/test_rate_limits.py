"""Requests a minute, per order and per address."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from app.embedded.shop_transfers import accept_transfer, request_transfer
from app.embedded.stripe_sandbox.client import Sandbox
from app.embedded.valkey import Valkey
from app.gateways import local_limits, redis_limits
from app.gateways.local_limits import LocalRateLimits
from app.gateways.redis_client import connect
from app.gateways.redis_keys import RedisKeys
from tests.databases import one_database_a_file
from tests.http.answers import assert_answer
from tests.http.proofs import bearer, customer_token, in_seconds, modification_token
from tests.http.rows import everything
from tests.world import Api, Shop, serving, settings_for, token_for

database = one_database_a_file()

LIMITED = {
    "code": "rate_limited",
    "type": "not_allowed",
    "message": "Too many requests. Please try again in a moment.",
}
MINUTE = 29_500_000 * 60


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Ten seconds into a minute that does not end by itself."""
    clock = SimpleNamespace(now=MINUTE + 10.4)
    monkeypatch.setattr(redis_limits, "time", SimpleNamespace(time=lambda: clock.now))
    return clock


@pytest.fixture
def limited(shop: Shop, database: str, redis_url: str, sandbox: Sandbox, clock: SimpleNamespace) -> Any:
    """The API with limits of its own."""

    @asynccontextmanager
    async def limited(redis: str = redis_url, **limits: str) -> AsyncIterator[Api]:
        settings = settings_for(database, redis, sandbox, VOID_WAIT_SECONDS="0", **limits)
        async with serving(settings, shop.key) as api:
            yield api

    return limited


def assert_limited(answer: httpx.Response, seconds: int) -> None:
    assert_answer(answer, 429, LIMITED)
    assert answer.headers["retry-after"] == str(seconds)


async def test_per_order(shop: Shop, limited: Any, clock: SimpleNamespace) -> None:
    order, other = await shop.place(), await shop.place()
    async with limited(RATE_LIMIT_PER_ORDER="2") as api:
        assert (await api.cancel(order.id, content=b"{")).status_code == 400
        assert (await api.cancel(order.id, content=b"{")).status_code == 400
        before = await everything(shop.conn)
        assert_limited(await api.cancel(order.id), 50)
        assert await everything(shop.conn) == before

        assert (await api.cancel(other.id)).status_code == 200, "another order's budget"
        clock.now = MINUTE + 59.9
        assert_limited(await api.cancel(order.id), 1)
        clock.now = MINUTE + 60
        assert (await api.cancel(order.id)).status_code == 200, "another minute"


async def test_strangers_do_not_lock_the_owner_out(shop: Shop, limited: Any) -> None:
    """Two requests a second, without key or token, and nobody can cancel that order until it is captured."""
    order = await shop.place()
    async with limited(RATE_LIMIT_PER_ORDER="2") as api:
        for _ in range(3):
            await api.client.post(f"/store/orders/{order.id}/cancel")
        assert (await api.cancel(order.id)).status_code == 200


async def test_a_former_owner_uses_up_a_budget_of_their_own(shop: Shop, limited: Any) -> None:
    order = await shop.place()
    old, new = (modification_token(order.id, iat=in_seconds(seconds)) for seconds in (-60, 5))
    await accept_transfer(shop.conn, order, await request_transfer(shop.conn, order))
    async with limited(RATE_LIMIT_PER_ORDER="2") as api:
        assert [(await api.cancel(order.id, token=old)).status_code for _ in range(4)] == [403, 403, 429, 429]
        assert (await api.cancel(order.id, token=new)).status_code == 200


@pytest.mark.parametrize("known", [True, False], ids=["an order", "no order"])
async def test_a_customer_uses_up_a_budget_of_their_own(shop: Shop, limited: Any, known: bool) -> None:
    """And is answered the same whether there is such an order or not."""
    order, mine = await shop.place(account=True), await shop.place(account=True)
    asked = order.id if known else "order_unknown"
    async with limited(RATE_LIMIT_PER_ORDER="2") as api:
        stranger = bearer(customer_token(mine))
        answers = [await api.cancel(asked, token=None, headers=stranger) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [404, 404, 429, 429]
        assert (await api.cancel(order.id, token=None, headers=bearer(customer_token(order)))).status_code == 200
        assert (await api.cancel(mine.id, token=None, headers=stranger)).status_code == 200


async def test_requests_without_a_right_leave_no_event(shop: Shop, limited: Any) -> None:
    order, mine = await shop.place(account=True), await shop.place(account=True)
    old = modification_token(order.id, iat=None)
    await accept_transfer(shop.conn, order, await request_transfer(shop.conn, order))
    async with limited() as api:
        for how in ({"token": old}, {"token": "garbage"}, {"token": token_for(mine.id)}, {"token": None}):
            assert (await api.cancel(order.id, **how)).status_code in (401, 403)
        assert (await api.cancel(order.id, token=None, headers=bearer(customer_token(mine)))).status_code == 404
    assert await shop.conn.fetchval("select count(*) from grace.events where order_id = $1", order.id) == 0


async def test_per_address(shop: Shop, limited: Any) -> None:
    order = await shop.place()
    async with limited(RATE_LIMIT_PER_ADDRESS="2", TRUSTED_PROXIES="203.0.113.0/24") as api:

        async def ask(forwarded_for: str | None) -> httpx.Response:
            headers = {} if forwarded_for is None else {"x-forwarded-for": forwarded_for}
            answer: httpx.Response = await api.cancel(order.id, headers=headers)
            return answer

        assert (await ask("198.51.100.1")).status_code == 200
        assert (await ask("192.0.2.2, 198.51.100.1")).status_code == 200
        assert_limited(await ask("198.51.100.1"), 50)
        assert_limited(await ask("198.51.100.2, 198.51.100.1"), 50)
        assert (await ask("198.51.100.2")).status_code == 200, "another address"
        for _ in range(3):
            assert (await ask(None)).status_code == 200, "the proxies' own address is nobody's"


async def test_an_address_that_nobody_trusts(shop: Shop, limited: Any) -> None:
    """The test client's peer is 203.0.113.7: whatever it says of others, it is itself."""
    async with limited(RATE_LIMIT_PER_ADDRESS="1") as api:
        assert (await api.cancel("order_1", headers={"x-forwarded-for": "198.51.100.1"})).status_code == 404
        assert_limited(await api.cancel("order_2", headers={"x-forwarded-for": "198.51.100.2"}), 50)


async def test_forwarded_for_on_several_lines(shop: Shop, limited: Any) -> None:
    """HAProxy adds a line of its own below the one that the shopper sent; lines count as one list."""
    async with limited(RATE_LIMIT_PER_ADDRESS="1", TRUSTED_PROXIES="203.0.113.0/24") as api:
        answers = []
        for lie in ("192.0.2.1", "192.0.2.2"):
            lines = [("x-forwarded-for", lie), ("x-forwarded-for", "198.51.100.1")]
            url = "/store/orders/order_1/cancel"
            answers.append(await api.client.post(url, headers=[("x-publishable-api-key", api.key), *lines]))
        assert [answer.status_code for answer in answers] == [401, 429]


async def test_of_both_limits_the_first_that_is_reached(shop: Shop, limited: Any) -> None:
    async with limited(RATE_LIMIT_PER_ORDER="1", RATE_LIMIT_PER_ADDRESS="3") as api:
        assert (await api.cancel("order_1")).status_code == 404
        assert_limited(await api.cancel("order_1"), 50)
        assert (await api.cancel("order_2")).status_code == 404
        assert_limited(await api.cancel("order_3"), 50)


async def test_no_limit(shop: Shop, limited: Any) -> None:
    async with limited(RATE_LIMIT_PER_ORDER="0", RATE_LIMIT_PER_ADDRESS="0") as api:
        assert [(await api.cancel("order_1")).status_code for _ in range(5)] == [404] * 5


async def test_get_counts_too(shop: Shop, limited: Any) -> None:
    async with limited(RATE_LIMIT_PER_ORDER="1") as api:
        headers = {"x-publishable-api-key": api.key, "x-modification-token": token_for("order_1")}
        assert (await api.client.get("/store/orders/order_1/cancel", headers=headers)).status_code == 404
        assert_limited(await api.client.get("/store/orders/order_1/cancel", headers=headers), 50)
        assert_limited(await api.cancel("order_1"), 50)


async def test_open_when_redis_is_dead(shop: Shop, limited: Any, own_valkey: Valkey) -> None:
    order = await shop.place()
    async with limited(own_valkey.url(), RATE_LIMIT_PER_ORDER="1", RATE_LIMIT_PER_ADDRESS="1") as api:
        assert (await api.cancel("order_1")).status_code == 404
        own_valkey.kill()
        assert (await api.cancel("order_1")).status_code == 404
        assert (await api.cancel(order.id)).status_code == 200
    assert await shop.status(order) == "canceled"


async def test_open_when_redis_hangs(shop: Shop, limited: Any, own_valkey: Valkey) -> None:
    order = await shop.place()
    async with limited(own_valkey.url(), RATE_LIMIT_PER_ORDER="1") as api:
        await api.cancel(order.id, token="garbage")
        own_valkey.pause()
        began = time.monotonic()
        answer = await api.cancel(order.id)
        took = time.monotonic() - began
        own_valkey.resume()
    assert answer.status_code == 200
    assert took < 1.5, f"the cancel waited {took:.1f} s for Redis"


@pytest.mark.parametrize("broken", ["killed", "paused"])
async def test_a_process_counts_for_itself_while_redis_is_away(
    shop: Shop, limited: Any, own_valkey: Valkey, clock: SimpleNamespace, broken: str
) -> None:
    """Twice the limit of each, of an address and of an order; the next minute begins at nothing."""
    async with limited(
        own_valkey.url(), RATE_LIMIT_PER_ORDER="2", RATE_LIMIT_PER_ADDRESS="3", TRUSTED_PROXIES="203.0.113.0/24"
    ) as api:
        own_valkey.kill() if broken == "killed" else own_valkey.pause()
        for _ in range(2):
            at_one_address = [await api.cancel(f"order_{n}", headers=_from("198.51.100.1")) for n in range(7)]
            assert [answer.status_code for answer in at_one_address] == [404] * 6 + [429]
            assert_limited(at_one_address[-1], 50)
            of_one_order = [await api.cancel("order_9", headers=_from(f"198.51.100.1{n}")) for n in range(5)]
            assert [answer.status_code for answer in of_one_order] == [404] * 4 + [429]
            clock.now += 60
        own_valkey.resume() if broken == "paused" else None


def _from(address: str) -> dict[str, str]:
    return {"x-forwarded-for": address}


async def test_a_process_holds_a_bounded_number_of_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_limits, "MAX_KEYS", 3)
    limits = LocalRateLimits()
    for _ in range(2):
        assert [limits.exceeded([(f"address {n}", 1)], window=1) for n in range(5)] == [[]] * 5
    assert [limits.exceeded([(f"address {n}", 1)], window=1) for n in range(5)] == [
        *([f"address {n}"] for n in range(3)),
        *([[]] * 2),
    ]
    assert limits.exceeded([("address 4", 1), ("address 0", 1)], window=2) == []


async def test_a_rush_is_counted_one_by_one_in_a_few_round_trips(redis_url: str, clock: SimpleNamespace) -> None:
    async with connect(redis_url) as redis:
        limits = redis_limits.RedisRateLimits(redis, RedisKeys("test"))
        asked_before = await _scripts_run(redis)
        told = await asyncio.gather(*(limits.exceeded(("all", 25), (f"order {number}", 1)) for number in range(60)))
        assert [seconds is None for seconds in told] == [True] * 25 + [False] * 35
        assert await _scripts_run(redis) - asked_before <= 3


async def test_who_gives_up_waiting_spoils_nothing_for_the_others(redis_url: str, clock: SimpleNamespace) -> None:
    async with connect(redis_url) as redis:
        limits = redis_limits.RedisRateLimits(redis, RedisKeys("test"))
        first, gone, other = (asyncio.create_task(limits.exceeded(("some", 2))) for _ in range(3))
        await asyncio.sleep(0)
        gone.cancel()
        assert (await first, await other, await limits.exceeded(("next", 1))) == (None, 50, None)


async def _scripts_run(redis: Redis) -> int:
    stats = await redis.info("commandstats")
    return sum(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("eval", "evalsha"))
