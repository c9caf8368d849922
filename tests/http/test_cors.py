"""CORS by Medusa's own rules: ``STORE_CORS``, preflights and headers as seen on Medusa 2.21.2."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from app.embedded.stripe_sandbox.client import Sandbox
from plugins.medusa_bridge.cors import AllowedOrigins
from tests.databases import one_database_a_file
from tests.world import Api, Shop, serving, settings_for

database = one_database_a_file()

SHOP = "http://localhost:8000"
PREVIEWS = r"/^https:\/\/[a-z0-9-]+\.preview\.shop\.test$/"


@pytest.mark.parametrize(
    ("setting", "origin", "allowed"),
    [
        ("", SHOP, False),
        (SHOP, SHOP, True),
        (SHOP, None, False),
        (SHOP, f"{SHOP}/", False),
        (SHOP, "http://localhost:80001", False),
        (SHOP, "https://localhost:8000", False),
        (SHOP, SHOP.upper(), False),
        (f"{SHOP}/", SHOP, False),
        (f"http://a.test,{SHOP}", SHOP, True),
        (f"http://a.test, {SHOP}", SHOP, False),
        (f"http://a.test, {SHOP}", "http://a.test", True),
        ("*", SHOP, False),
        ("*", "*", True),
        (PREVIEWS, "https://pr-12.preview.shop.test", True),
        (PREVIEWS, "http://pr-12.preview.shop.test", False),
        (PREVIEWS, "https://pr-12.preview.shop.test.evil.test", False),
        (PREVIEWS, "https://pr-12.previewXshop.test", False),
        (f"{SHOP},{PREVIEWS}", SHOP, True),
        (f"{SHOP},{PREVIEWS}", "https://pr-12.preview.shop.test", True),
        ("/localhost/", "http://localhost.evil.test", True),  # unanchored, as Medusa's
        ("/LOCALHOST/", SHOP, False),
        ("/LOCALHOST/i", SHOP, True),
        ("/localhost/gy", SHOP, True),
        ("~localhost~", SHOP, True),
        ("@localhost@", SHOP, True),
        (";localhost;", SHOP, True),
        ("%localhost%", SHOP, True),
        ("#localhost#", SHOP, True),
        ("'localhost'", SHOP, True),
        ("!localhost!", SHOP, False),
        ("/localhost/x", SHOP, False),  # no flag of JavaScript's: a plain string
        ("/localhost/ii", SHOP, False),
        ("/(/", "(", False),  # does not compile: a plain string
        ("/(/", "/(/", True),
        ("/a{1,2}/", "a", False),  # cut at its comma
        ("//", SHOP, True),  # the empty pattern is found everywhere
    ],
)
def test_allowed_origins(setting: str, origin: str | None, allowed: bool) -> None:
    assert AllowedOrigins(setting).allow(origin) is allowed


@pytest.fixture
async def api(shop: Shop, database: str, redis_url: str, sandbox: Sandbox) -> AsyncIterator[Api]:
    settings = settings_for(database, redis_url, sandbox, VOID_WAIT_SECONDS="0", STORE_CORS=f"{SHOP},{PREVIEWS}")
    async with serving(settings, shop.key) as api:
        yield api


def cors(answer: httpx.Response) -> dict[str, str]:
    """What of the answer is about CORS."""
    headers = {name: value for name, value in answer.headers.items() if name.startswith("access-control-")}
    return headers | {"vary": answer.headers.get("vary", "")}


async def preflight(api: Api, origin: str | None, asked: str | None) -> httpx.Response:
    headers = {"origin": origin, "access-control-request-method": "POST", "access-control-request-headers": asked}
    sent = {name: value for name, value in headers.items() if value is not None}
    return await api.client.options("/store/orders/order_1/cancel", headers=sent)


async def test_preflight(api: Api) -> None:
    asked = "content-type,x-publishable-api-key, X-Modification-Token"
    always = {
        "vary": "Origin, Access-Control-Request-Headers",
        "access-control-allow-credentials": "true",
        "access-control-allow-methods": "GET,HEAD,PUT,PATCH,POST,DELETE",
    }
    asked_for = {"access-control-allow-headers": asked}
    previews = "https://pr-12.preview.shop.test"
    for origin, headers, expected in (
        (SHOP, asked, {**always, **asked_for, "access-control-allow-origin": SHOP}),
        (previews, asked, {**always, **asked_for, "access-control-allow-origin": previews}),
        (SHOP, None, {**always, "access-control-allow-origin": SHOP}),
        ("http://evil.test", asked, {**always, **asked_for}),
        (None, None, always),
    ):
        answer = await preflight(api, origin, headers)
        assert (answer.status_code, answer.content) == (204, b"")
        assert answer.headers["content-length"] == "0"
        assert "content-type" not in answer.headers
        assert cors(answer) == expected


async def test_answers(shop: Shop, api: Api) -> None:
    """Every answer may be read by the shop's pages, refusals above all."""
    order = await shop.place()
    always = {"vary": "Origin", "access-control-allow-credentials": "true"}
    for origin, expected in (
        (SHOP, {**always, "access-control-allow-origin": SHOP}),
        ("http://evil.test", always),
        (None, always),
    ):
        headers = {} if origin is None else {"origin": origin}
        for answer in (
            await api.cancel("order_unknown", headers=headers),
            await api.cancel(order.id, token=None, headers=headers),
            await api.cancel(order.id, token="garbage", headers=headers),
            await api.cancel(order.id, headers={**headers, "x-publishable-api-key": ""}),
            await api.cancel(order.id, headers=headers, content=b"{"),
            await api.cancel(order.id, headers=headers, content=b" " * 17_000),
            await api.cancel(order.id, headers=headers),
        ):
            assert cors(answer) == expected, answer.text


async def test_an_unexpected_failure_can_be_read_too(shop: Shop, api: Api) -> None:
    order = await shop.place()
    await shop.conn.execute("alter table grace.cancellations rename to lost")
    answer = await api.cancel(order.id, headers={"origin": SHOP})
    await shop.conn.execute("alter table grace.lost rename to cancellations")
    assert answer.status_code == 500
    assert answer.json() == {
        "code": "unknown_error",
        "type": "unknown_error",
        "message": "An unknown error occurred.",
    }
    assert answer.headers["access-control-allow-origin"] == SHOP
    assert await shop.status(order) == "pending"


async def test_health_is_nobodys_page(api: Api) -> None:
    answer = await api.client.get("/health/live", headers={"origin": SHOP})
    assert "access-control-allow-origin" not in answer.headers


async def test_a_wrong_method_can_be_read(api: Api) -> None:
    answer = await api.client.delete("/store/orders/order_1/cancel", headers={"origin": SHOP})
    assert answer.headers.get("access-control-allow-origin") == SHOP


async def test_options_that_are_no_preflight(api: Api) -> None:
    """No browser sends them: they are told which methods there are, as HTTP has it."""
    answer = await api.client.options("/store/orders/order_1/cancel")
    assert answer.status_code == 204
    assert "POST" in answer.headers["allow"]
