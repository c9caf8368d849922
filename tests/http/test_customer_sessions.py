"""Customers signed in by the session cookie of Medusa: it says who they are, and only for pages of the storefront."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from app.embedded.shop import PlacedOrder
from app.embedded.stripe_sandbox.client import Sandbox
from plugins.medusa_bridge import customers
from tests.databases import one_database_a_file
from tests.http.answers import assert_answer, assert_refused, not_found
from tests.http.proofs import bearer, customer_token
from tests.http.rows import everything
from tests.http.test_who_may import INVALID, REQUIRED
from tests.simulated_medusa import SimulatedMedusa
from tests.world import Api, Shop, serving, settings_for, token_for

database = one_database_a_file()

STOREFRONT = "http://shop.test"
SID = "s%3AyWhBzgwIy9kzjbjdDBThlN-Hs7Jhv9_v.xbiAJcqtjkDF9f3i%2FzvrJGBJTao20VY%2BQcBzX8c8Ays"
UNAVAILABLE = {
    "code": "service_unavailable",
    "type": "unexpected_state",
    "message": "The order could not be canceled just now. Nothing was changed. Please try again in a moment.",
}


@pytest.fixture
def medusa(monkeypatch: pytest.MonkeyPatch) -> SimulatedMedusa:
    simulated = SimulatedMedusa()

    def open_(backend_url: str) -> customers.CustomerSessions:
        transport = httpx.MockTransport(simulated.answer)
        return customers.CustomerSessions(httpx.AsyncClient(transport=transport, base_url=backend_url))

    monkeypatch.setattr(customers.CustomerSessions, "open", open_)
    return simulated


@pytest.fixture
async def api(
    shop: Shop, database: str, redis_url: str, sandbox: Sandbox, medusa: SimulatedMedusa
) -> AsyncIterator[Api]:
    async with _serving(shop, database, redis_url, sandbox) as api:
        yield api


@asynccontextmanager
async def _serving(shop: Shop, database: str, redis_url: str, sandbox: Sandbox, **changes: str) -> AsyncIterator[Api]:
    given = {"VOID_WAIT_SECONDS": "0", "MEDUSA_BACKEND_URL": "http://medusa.test:9000", **changes}
    async with serving(settings_for(database, redis_url, sandbox, **given), shop.key) as api:
        yield api


@pytest.fixture
async def order(shop: Shop, medusa: SimulatedMedusa) -> PlacedOrder:
    """An order of the customer whose session it is."""
    placed = await shop.place(account=True)
    medusa.customers[SID] = placed.customer_id
    return placed


def cookie(value: str = SID, **headers: str) -> dict[str, str]:
    return {"cookie": f"theme=dark; connect.sid={value}; x=y", "origin": STOREFRONT, **headers}


async def test_the_owner(shop: Shop, api: Api, medusa: SimulatedMedusa, order: PlacedOrder) -> None:
    answer = await api.cancel(order.id, token=None, headers=cookie())
    assert_answer(answer, 200, {"order_id": order.id, "status": "canceled", "payment_action": "void_pending"})
    assert answer.headers["access-control-allow-origin"] == STOREFRONT
    assert answer.headers["access-control-allow-credentials"] == "true"
    assert medusa.asked == ["GET /store/customers/me"]
    [headers] = medusa.headers
    assert headers["cookie"] == f"connect.sid={SID}", "no other cookie is anybody's business"
    assert headers["x-publishable-api-key"] == shop.key
    by = await shop.conn.fetchval("select canceled_by from grace.cancellations where order_id = $1", order.id)
    assert by == f"customer:{order.customer_id}"


async def test_medusa_is_asked_each_time(shop: Shop, api: Api, medusa: SimulatedMedusa, order: PlacedOrder) -> None:
    """Who signs out has no right any more."""
    assert (await _preview(api, order.id, cookie())).status_code == 200
    medusa.instead = lambda request: httpx.Response(401, json={"message": "Unauthorized"})
    await assert_refused(shop, api, order.id, 401, REQUIRED, token=None, headers=cookie())
    assert len(medusa.asked) == 2


async def test_another_customers_order(shop: Shop, api: Api, order: PlacedOrder) -> None:
    theirs = await shop.place(account=True)
    for order_id in (theirs.id, "order_unknown"):
        await assert_refused(shop, api, order_id, 404, not_found(order_id), token=None, headers=cookie())


FOREIGN: dict[str, dict[str, str | None]] = {
    "another site": {"origin": "https://evil.test"},
    "a subdomain of it": {"origin": "http://x.shop.test"},
    "another scheme": {"origin": "https://shop.test"},
    "another port": {"origin": "http://shop.test:8080"},
    "begins like it": {"origin": "http://shop.test.evil.test"},
    "null": {"origin": "null"},
    "none": {"origin": None},
    "none, from the same origin": {"origin": None, "sec-fetch-site": "same-origin"},
    "none, from another site": {"origin": None, "sec-fetch-site": "cross-site"},
    "a referer alone": {"origin": None, "referer": f"{STOREFRONT}/"},
}


@pytest.mark.parametrize("headers", FOREIGN.values(), ids=FOREIGN.keys())
async def test_a_post_of_another_page(
    shop: Shop, api: Api, medusa: SimulatedMedusa, order: PlacedOrder, headers: dict[str, str | None]
) -> None:
    """The browser sends the cookie whoever makes it: Medusa is not even asked."""
    sent: Any = cookie() | headers
    await assert_refused(shop, api, order.id, 401, REQUIRED, token=None, headers=sent)
    assert medusa.asked == []


@pytest.mark.parametrize(
    "origins", [(STOREFRONT, "https://evil.test"), ("https://evil.test", STOREFRONT), 2 * (STOREFRONT,)]
)
async def test_two_origins(
    shop: Shop, api: Api, medusa: SimulatedMedusa, order: PlacedOrder, origins: tuple[str, str]
) -> None:
    before = await everything(shop.conn)
    headers = [("x-publishable-api-key", api.key), ("cookie", f"connect.sid={SID}")]
    headers += [("origin", origin) for origin in origins]
    answer = await api.client.post(f"/store/orders/{order.id}/cancel", headers=headers)
    assert_answer(answer, 401, REQUIRED)
    assert (await everything(shop.conn), medusa.asked) == (before, [])


@pytest.mark.parametrize(
    ("headers", "good"),
    [
        ({}, True),
        ({"origin": None}, True),
        ({"origin": None, "sec-fetch-site": "same-origin"}, True),
        ({"origin": None, "sec-fetch-site": "cross-site"}, False),
        ({"origin": None, "sec-fetch-site": "same-site"}, False),
        ({"origin": None, "sec-fetch-site": "none"}, False),
        ({"origin": "https://evil.test"}, False),
    ],
)
async def test_a_look(api: Api, order: PlacedOrder, headers: dict[str, str | None], good: bool) -> None:
    answer = await _preview(api, order.id, cookie() | headers)
    assert answer.status_code == (200 if good else 401), answer.text


async def test_the_receipt_too(api: Api, order: PlacedOrder) -> None:
    await api.cancel(order.id, token=None, headers=cookie())
    headers = {"x-publishable-api-key": api.key, **cookie()}
    answer = await api.client.get(f"/store/orders/{order.id}/cancellation", headers=headers)
    assert (answer.status_code, answer.json()["canceled_by"]) == (200, "customer")


ODD = {
    "empty": "",
    "blank": "  ",
    "long": "s" * 1025,
    "not ASCII": "s\u00fc",
    "quoted": f'"{SID}"',
    "a blank in it": "s a",
    "a comma": "a,b",
    "a backslash": "a\\b",
    "a control character": "a\x01b",
}


@pytest.mark.parametrize("value", ODD.values(), ids=ODD.keys())
async def test_a_cookie_that_is_none_of_medusas(
    shop: Shop, api: Api, medusa: SimulatedMedusa, order: PlacedOrder, value: str
) -> None:
    before = await everything(shop.conn)
    headers = [(b"x-publishable-api-key", api.key.encode()), (b"origin", STOREFRONT.encode())]
    headers.append((b"cookie", f"connect.sid={value}".encode("latin-1")))
    answer = await api.client.post(f"/store/orders/{order.id}/cancel", headers=headers)
    assert_answer(answer, 401, REQUIRED)
    assert (await everything(shop.conn), medusa.asked) == (before, [])


async def test_other_proofs_come_first(shop: Shop, api: Api, medusa: SimulatedMedusa, order: PlacedOrder) -> None:
    """A bad one is not made good by the cookie, and a good one needs none."""
    await assert_refused(shop, api, order.id, 401, INVALID, token="garbage", headers=cookie())
    await assert_refused(shop, api, order.id, 401, INVALID, token=None, headers=cookie() | bearer("garbage"))
    other = await shop.place(account=True)
    assert (await api.cancel(other.id, token=token_for(other.id), headers=cookie())).status_code == 200
    third = await shop.place(account=True)
    headers = cookie() | bearer(customer_token(third))
    assert (await api.cancel(third.id, token=None, headers=headers)).status_code == 200
    assert medusa.asked == []


async def test_a_wrong_key_is_answered_before_medusa_is_asked(
    api: Api, medusa: SimulatedMedusa, order: PlacedOrder
) -> None:
    answer = await api.cancel(order.id, token=None, headers=cookie() | {"x-publishable-api-key": "pk_unknown"})
    assert (answer.status_code, answer.json()["type"]) == (400, "not_allowed")
    assert medusa.asked == []


def _fail(error: type[httpx.TransportError]) -> Callable[[httpx.Request], httpx.Response]:
    def answer(request: httpx.Request) -> httpx.Response:
        raise error("away", request=request)

    return answer


AWAY: dict[str, Callable[[httpx.Request], httpx.Response]] = {
    "refuses": _fail(httpx.ConnectError),
    "hangs": _fail(httpx.ReadTimeout),
    "breaks off": _fail(httpx.RemoteProtocolError),
    "500": lambda request: httpx.Response(500, json={}),
    "502": lambda request: httpx.Response(502, text="<html>"),
    "429": lambda request: httpx.Response(429, json={}),
    "redirects": lambda request: httpx.Response(302, headers={"location": "https://evil.test/"}),
    "no JSON": lambda request: httpx.Response(200, text="<html>"),
}


@pytest.mark.parametrize("answer", AWAY.values(), ids=AWAY.keys())
async def test_medusa_is_away(
    shop: Shop, api: Api, medusa: SimulatedMedusa, order: PlacedOrder, answer: Callable[[httpx.Request], httpx.Response]
) -> None:
    medusa.instead = answer
    got = await assert_refused(shop, api, order.id, 503, UNAVAILABLE, token=None, headers=cookie())
    assert got.headers["retry-after"]
    assert (await api.cancel(order.id)).status_code == 200, "who brings a token does not need it"


NOBODY = [{}, [], {"customer": None}, {"customer": {}}, {"customer": {"id": None}}, {"customer": {"id": ""}}]
NOBODY += [{"customer": {"id": ["x"]}}, {"customer": "x"}]


@pytest.mark.parametrize("body", NOBODY, ids=map(json.dumps, NOBODY))
async def test_an_answer_that_names_nobody(
    shop: Shop, api: Api, medusa: SimulatedMedusa, order: PlacedOrder, body: Any
) -> None:
    medusa.instead = lambda request: httpx.Response(200, json=body)
    await assert_refused(shop, api, order.id, 401, REQUIRED, token=None, headers=cookie())


@pytest.mark.parametrize("status", [400, 401, 403, 404])
async def test_medusa_says_no(shop: Shop, api: Api, medusa: SimulatedMedusa, order: PlacedOrder, status: int) -> None:
    medusa.instead = lambda request: httpx.Response(status, json={"customer": {"id": order.customer_id}})
    await assert_refused(shop, api, order.id, 401, REQUIRED, token=None, headers=cookie())


async def test_without_medusas_address(
    shop: Shop, database: str, redis_url: str, sandbox: Sandbox, medusa: SimulatedMedusa, order: PlacedOrder
) -> None:
    async with _serving(shop, database, redis_url, sandbox, MEDUSA_BACKEND_URL="") as api:
        await assert_refused(shop, api, order.id, 401, REQUIRED, token=None, headers=cookie())
    assert medusa.asked == []


async def test_no_page_may_where_no_origin_is_set(
    shop: Shop, database: str, redis_url: str, sandbox: Sandbox, medusa: SimulatedMedusa, order: PlacedOrder
) -> None:
    async with _serving(shop, database, redis_url, sandbox, STORE_CORS="") as api:
        await assert_refused(shop, api, order.id, 401, REQUIRED, token=None, headers=cookie())


async def test_the_address_is_counted_before_medusa_is_asked(
    shop: Shop, database: str, redis_url: str, sandbox: Sandbox, medusa: SimulatedMedusa, order: PlacedOrder
) -> None:
    async with _serving(shop, database, redis_url, sandbox, RATE_LIMIT_PER_ADDRESS="2") as api:
        answers = [await _preview(api, order.id, cookie()) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 429, 429]
    assert len(medusa.asked) == 2


async def test_a_medusa_that_never_answers_is_waited_for_a_moment(
    shop: Shop, database: str, redis_url: str, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a socket of its own, and without a connection to Postgres being kept."""
    monkeypatch.setattr(customers, "SESSION_TIMEOUT", 0.3)
    order = await shop.place(account=True)

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with _serving(shop, database, redis_url, sandbox, MEDUSA_BACKEND_URL=url, DATABASE_POOL_SIZE="2") as api:
        began = time.monotonic()
        waiting = [asyncio.create_task(api.cancel(order.id, token=None, headers=cookie())) for _ in range(8)]
        await asyncio.sleep(0.1)
        assert (await _preview(api, order.id, {"x-modification-token": token_for(order.id)})).status_code == 200
        assert {answer.status_code for answer in await asyncio.gather(*waiting)} == {503}
        assert time.monotonic() - began < 2.5
    server.close()
    await server.wait_closed()


async def _preview(api: Api, order_id: str, headers: Any) -> httpx.Response:
    sent = {"x-publishable-api-key": api.key, **headers}
    sent = {name: value for name, value in sent.items() if value is not None}
    return await api.client.get(f"/store/orders/{order_id}/cancel", headers=sent)
