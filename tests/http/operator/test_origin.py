"""Whether the cookie is for HTTPS alone, and whose forms are taken: by PUBLIC_URL, or by a proxy that is trusted."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import msgspec
import pytest

from app.settings import Settings
from tests.simulated_medusa import EMAIL, PASSWORD, SimulatedMedusa
from tests.world import Api, Shop, serving

ROOT = Path(__file__).resolve().parents[3]
PROXY, CLIENT = "10.0.0.7", "203.0.113.7"


async def sign_in(api: Api, peer: str, **headers: str) -> str | None:
    """``Secure`` or not; ``None`` when the form was refused."""
    api.client._transport.client = (peer, 4711)  # type: ignore[attr-defined]
    sent = {"origin": "http://grace.test", **{name.replace("_", "-"): value for name, value in headers.items()}}
    fields = {"email": EMAIL, "password": PASSWORD}
    answer = await api.client.post("/grace/sign-in", data=fields, headers=sent)
    api.client.cookies.clear()
    if answer.status_code == 403:
        return None
    assert answer.status_code == 303
    return "secure" if "; secure" in answer.headers["set-cookie"].lower() else "plain"


@pytest.mark.parametrize(
    ("peer", "headers", "cookie"),
    [
        (CLIENT, {}, "plain"),
        (CLIENT, {"x_forwarded_proto": "https"}, "plain"),
        (PROXY, {"x_forwarded_proto": "https"}, "secure"),
        (PROXY, {"x_forwarded_proto": "HTTPS"}, "secure"),
        (PROXY, {"x_forwarded_proto": "http"}, "plain"),
        (PROXY, {"x_forwarded_proto": "http, https"}, "secure"),
        (PROXY, {"x_forwarded_proto": "wss"}, "secure"),
        (PROXY, {}, "secure"),
        (PROXY, {"x_forwarded_proto": " "}, "secure"),
        (PROXY, {"host": "localhost:9100", "origin": "http://localhost:9100"}, "plain"),
        (PROXY, {"host": "127.0.0.1", "origin": "http://127.0.0.1"}, "plain"),
        (PROXY, {"host": "[::1]:9100", "origin": "http://[::1]:9100"}, "plain"),
        (PROXY, {"host": "localhost.evil.test", "origin": "http://localhost.evil.test"}, "secure"),
        (PROXY, {"host": "localhost", "origin": "https://localhost", "x_forwarded_proto": "https"}, "secure"),
        (PROXY, {"host": "upstream:9100", "origin": "https://shop.example"}, None),
        (PROXY, {"host": "upstream:9100", "origin": "https://shop.example", "sec_fetch_site": "same-origin"}, "secure"),
    ],
)
async def test_without_a_public_url(
    api: Api, medusa: SimulatedMedusa, peer: str, headers: dict[str, str], cookie: str | None
) -> None:
    assert await sign_in(api, peer, **headers) == cookie


@pytest.mark.parametrize("peer", [CLIENT, PROXY])
@pytest.mark.parametrize("named", [{}, {"x_forwarded_proto": "http"}], ids=["unnamed", "http"])
async def test_a_connection_of_https_itself_needs_nobodys_word(
    api: Api, medusa: SimulatedMedusa, peer: str, named: dict[str, str]
) -> None:
    """As where the API terminates TLS."""
    api.client.base_url = httpx.URL("https://grace.test")
    assert await sign_in(api, peer, origin="https://grace.test", **named) == "secure"


@pytest.fixture(params=["https://shop.example", "http://shop.example:8080"])
async def public(
    request: pytest.FixtureRequest, settings: Settings, shop: Shop, medusa: SimulatedMedusa
) -> AsyncIterator[tuple[Api, str]]:
    """An API that is told where browsers see it."""
    url = str(request.param)
    async with serving(msgspec.structs.replace(settings, public_url=url), shop.key) as api:
        yield api, url


async def test_with_a_public_url_no_header_decides(public: tuple[Api, str]) -> None:
    api, url = public
    expected = "secure" if url.startswith("https") else "plain"
    for peer in (PROXY, CLIENT):
        for told in ({}, {"x_forwarded_proto": "http"}, {"x_forwarded_proto": "https"}, {"host": "localhost"}):
            assert await sign_in(api, peer, origin=url, **told) == expected, (peer, told)


async def test_with_a_public_url_forms_come_from_there(public: tuple[Api, str]) -> None:
    api, url = public
    host = url.partition("://")[2]
    swapped = f"https://{host}" if url.startswith("http:") else f"http://{host}"
    for origin in ("http://grace.test", swapped, f"{url}.evil.test", f"{url}:1", f"{url}/", "null", ""):
        assert await sign_in(api, PROXY, origin=origin) is None, origin
        assert await sign_in(api, PROXY, origin=origin, host=host, sec_fetch_site="same-origin") is None, origin
    assert await sign_in(api, PROXY, origin=url, sec_fetch_site="same-origin") is not None


def _locations() -> tuple[str, str]:
    """The only nginx rule of docs/install.md, and the pattern of the Caddyfile."""
    page = (ROOT / "docs" / "install.md").read_text()
    [rule] = re.findall(r"location [^{]*\$ \{[^}]*\}", page)
    assert page.count("proxy_pass") == 1
    caddyfile = (ROOT / "plugins/medusa_bridge/Caddyfile").read_text()
    [pattern] = re.findall(r"path_regexp (\S+)", caddyfile)
    return rule, pattern


def test_the_page_has_one_rule_for_nginx_and_it_says_all_that_is_needed() -> None:
    rule, pattern = _locations()
    assert f"location ~ {pattern} {{" in rule
    for line in (
        "proxy_set_header Host $http_host;",
        "proxy_set_header X-Forwarded-Proto $scheme;",
        "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;",
        "client_max_body_size",
        "client_body_timeout",
    ):
        assert line in rule


def test_the_proxies_rule_leads_every_route_here_and_nothing_else(api: Api) -> None:
    _, pattern = _locations()
    app = api.client._transport.app  # type: ignore[attr-defined]
    routes = {route.path_format for route in app.routes}
    internal = {"/health/live", "/health/ready", "/openapi.json", "/docs"}
    assert {path for path in routes if not re.search(pattern, path)} == internal
    for path in (
        "/admin",
        "/store/orders/order_1",
        "/graceful",
        "/app/grace",
        "/hooks/stripe/x",
        "/store/carts/1/cancel",
    ):
        assert not re.search(pattern, path), path
