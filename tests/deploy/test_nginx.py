"""The lines of docs/install.md for nginx, as nginx takes them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import httpx
import pytest

from app.embedded.processes import HOST
from app.embedded.stripe_sandbox.client import Sandbox
from app.embedded.valkey import Valkey
from tests.databases import one_database_a_file
from tests.deploy.nginx import Nginx, running_nginx
from tests.deploy.processes import running_api
from tests.http.operator.browser import SESSION_SECRET
from tests.http.proofs import bearer, customer_token
from tests.simulated_medusa import EMAIL, PASSWORD, SimulatedMedusa, listening_in_a_thread
from tests.world import JWT_SECRET, Shop, settings_for, token_for

database = one_database_a_file()

MEDUSA = SimulatedMedusa()
PER_ADDRESS = 20
"""Requests that an address may make in a minute; each test has addresses of its own."""
CUT_AFTER = 10.0
"""Seconds, as the page's lines say."""


@pytest.fixture(scope="module")
def nginx(database: str, valkey: Valkey, sandbox_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    """In front of ``serve``, which is not told where browsers see it."""
    settings = settings_for(database, valkey.url(0), Sandbox(sandbox_url, "sk_test_of_nobody"))
    with listening_in_a_thread(MEDUSA) as medusa:
        changes = {
            "MEDUSA_BACKEND_URL": f"http://{medusa}",
            "MEDUSA_JWT_SECRET": JWT_SECRET,
            "OPERATOR_SESSION_SECRET": SESSION_SECRET,
            "RATE_LIMIT_PER_ADDRESS": str(PER_ADDRESS),
            "TRUSTED_PROXIES": f"{HOST}/32",
            "VOID_WAIT_SECONDS": "0",
        }
        with (
            running_api(settings, tmp_path_factory.mktemp("serve"), **changes) as (_, url),
            running_nginx(medusa=medusa, sidecar=urlsplit(url).netloc) as ports,
        ):
            yield ports


@asynccontextmanager
async def _client(url: str, address: str = "127.0.0.2") -> AsyncIterator[httpx.AsyncClient]:
    """A client whose address is no trusted proxy's."""
    transport = httpx.AsyncHTTPTransport(local_address=address, verify=False)
    async with httpx.AsyncClient(base_url=url, transport=transport, timeout=20) as client:
        yield client


OURS = [
    ("POST", "/store/orders/order_1/cancel"),
    ("GET", "/store/orders/order_1/cancel"),
    ("OPTIONS", "/store/orders/order_1/cancel"),
    ("GET", "/store/orders/order_1/cancel?x=/store/carts"),
    ("GET", "/store/orders/order_1/cancellation"),
    ("GET", "/store/cancellation-keys"),
    ("POST", "/hooks/stripe"),
    ("GET", "/grace"),
    ("GET", "/grace/"),
    ("GET", "/grace/search?q=x"),
    ("POST", "/grace/sign-in"),
]
MEDUSAS = [
    ("GET", "/"),
    ("GET", "/store/orders"),
    ("GET", "/store/orders/order_1"),
    ("POST", "/store/orders/order_1/transfer/request"),
    ("POST", "/store/orders/order_1/cancel/again"),
    ("POST", "/store/orders/order_1/canceled"),
    ("POST", "/store/orders//cancel"),
    ("POST", "/store/carts/cart_1/cancel"),
    ("GET", "/store/cancellation-keys/1"),
    ("POST", "/admin/orders/order_1/cancel"),
    ("GET", "/admin/users/me"),
    ("POST", "/hooks/payment/stripe_stripe"),
    ("POST", "/hooks/stripe/x"),
    ("GET", "/graceful"),
    ("GET", "/app/grace"),
    ("GET", "/health/ready"),
    ("GET", "/metrics"),
]


async def test_the_sidecars_routes_are_led_here_and_all_others_to_medusa(nginx: Nginx) -> None:
    async with _client(nginx.http) as client:
        for method, path in OURS:
            assert "x-answered-by" not in (await client.request(method, path)).headers, (method, path)
        for method, path in MEDUSAS:
            assert "x-answered-by" in (await client.request(method, path)).headers, (method, path)


async def test_a_cancel_as_a_storefront_sends_it(nginx: Nginx, shop: Shop) -> None:
    order = await shop.place()
    headers = {"x-publishable-api-key": shop.key, "x-modification-token": token_for(order.id)}
    async with _client(nginx.https, "127.0.0.3") as client:
        answer = await client.post(f"/store/orders/{order.id}/cancel", headers=headers, json={"reason": "other"})
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    assert await shop.conn.fetchval('select status::text from "order" where id = $1', order.id) == "canceled"


async def test_the_operators_cookie_is_for_https_where_the_browser_came_by_it(nginx: Nginx) -> None:
    fields = {"email": EMAIL, "password": PASSWORD}
    for url, secure in ((nginx.https, True), (nginx.http, False)):
        for told in ({}, {"x-forwarded-proto": "http"}, {"x-forwarded-proto": "https"}, {"x-forwarded-host": "x"}):
            async with _client(url, "127.0.0.4") as client:
                answer = await client.post("/grace/sign-in", data=fields, headers={"origin": url, **told})
                assert answer.status_code == 303, answer.text
                [cookie] = answer.headers.get_list("set-cookie")
                assert ("; secure" in cookie.lower()) is secure, (url, told)
                foreign = await client.post("/grace/sign-in", data=fields, headers={"origin": "https://evil.test"})
                assert foreign.status_code == 403


async def test_an_address_is_what_nginx_saw_whatever_a_client_writes(nginx: Nginx) -> None:
    path = "/store/orders/order_1/cancel"
    async with _client(nginx.http, "127.0.0.5") as client:
        made_up = [{"x-forwarded-for": f"203.0.113.{n}, 127.0.0.1"} for n in range(PER_ADDRESS)]
        answers = [await client.post(path, headers=headers) for headers in made_up]
        assert {answer.status_code for answer in answers} == {400}, "without a publishable key"
        for headers in ({}, {"x-forwarded-for": "203.0.113.99"}, {"x-forwarded-for": "garbage"}):
            assert (await client.post(path, headers=headers)).status_code == 429
    async with _client(nginx.http, "127.0.0.6") as client:
        for headers in ({}, {"x-forwarded-for": "127.0.0.5"}):
            assert (await client.post(path, headers=headers)).status_code == 400, "another's limit"


async def test_bodies_cookies_and_targets_are_bounded_before_they_get_here(nginx: Nginx) -> None:
    path = "/store/orders/order_1/cancel"
    async with _client(nginx.http, "127.0.0.7") as client:
        assert (await client.post(path, content=b"x" * (256 * 1024 + 1))).status_code == 413
        passed_on = await client.post(path, content=b"x" * (256 * 1024))
        # the API refuses it and closes the connection amid the body, which nginx may tell as 502
        assert passed_on.status_code == 502 or passed_on.headers["content-type"].startswith("application")
        began = time.monotonic()
        for cookie in ("a=" + "x" * 48_000, 'a="' + '\\"' * 24_000 + '"', "; ".join(f"c{n}=x" for n in range(7_000))):
            assert (await client.get("/grace", headers={"cookie": cookie})).status_code == 400
        assert time.monotonic() - began < 3
        assert (await client.get("/grace", params={"next": "x" * 9_000})).status_code == 414


async def test_nothing_of_ours_is_cached(nginx: Nginx, shop: Shop) -> None:
    """An nginx that caches every answer it may does not serve the 404 of one client to the owner."""
    order = await shop.place(account=True)
    path = f"/store/orders/{order.id}/cancel"
    strangers, owners = bearer(customer_token(order, actor_id="cus_of_another")), bearer(customer_token(order))
    async with _client(nginx.http, "127.0.0.8") as client:
        for _ in range(2):
            assert (await client.get("/store/orders/order_8")).status_code == 404
        assert MEDUSA.asked.count("GET /store/orders/order_8") == 1, "it caches"
        assert (await client.get(path)).status_code == 400
        for headers, status in ((strangers, 404), (owners, 200), (strangers, 404)):
            answer = await client.get(path, headers={"x-publishable-api-key": shop.key, **headers})
            assert (answer.status_code, answer.headers["cache-control"]) == (status, "no-store")
        for nowhere in ("/grace/nothing", "/grace/static/nothing.css", f"{path}lation"):
            answer = await client.get(nowhere)
            assert answer.headers["cache-control"] == "no-store", nowhere
            assert answer.status_code in {303, 400, 401, 404}


async def test_what_is_half_sent_is_cut(nginx: Nginx) -> None:
    """A body, one of a webhook, and a head; all at a time, since each takes its ten seconds."""
    body = "content-length: 2000\r\n\r\n{"
    halves = [
        f"POST /store/orders/order_1/cancel HTTP/1.1\r\nhost: x\r\n{body}",
        f"POST /hooks/stripe HTTP/1.1\r\nhost: x\r\nstripe-signature: t=1,v1=x\r\n{body}",
        f"POST /grace/sign-in HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-www-form-urlencoded\r\n{body}",
        "GET /grace HTTP/1.1\r\nhost: x\r\n",
    ]
    for seconds in await asyncio.gather(*(_cut_after(nginx, half.encode()) for half in halves)):
        assert CUT_AFTER - 1 < seconds < CUT_AFTER + 5


async def _cut_after(nginx: Nginx, sent: bytes) -> float:
    reader, writer = await asyncio.open_connection(HOST, nginx.plain)
    began = time.monotonic()
    writer.write(sent)
    answer = await asyncio.wait_for(reader.read(), 3 * CUT_AFTER)
    writer.close()
    assert answer == b"" or answer.startswith(b"HTTP/1.1 408"), answer
    return time.monotonic() - began
