"""The outermost layer: heads are bounded before anything parses them, and no proxy keeps an answer."""

from __future__ import annotations

import pytest
from litestar import Litestar

from app.http.edge import MAX_HEAD_BYTES, MAX_HEADER_BYTES, MAX_HEADERS, MAX_TARGET_BYTES
from tests.databases import one_database_a_file
from tests.http.answers import JSON_TYPE
from tests.world import Api, Shop

database = one_database_a_file()

KEPT = {"/openapi.json": "public, max-age=300", "/docs": "public, max-age=300"} | {
    "/store/cancellation-keys": "public, max-age=3600"
}
"""What is the same for everybody."""


async def test_no_answer_but_the_public_ones_is_kept(shop: Shop, api: Api) -> None:
    app: Litestar = api.client._transport.app  # type: ignore[attr-defined]
    order = await shop.place()
    asked = 0
    for path in sorted({route.path_format for route in app.routes} | {"/", "/nowhere", "/store/orders"}):
        for method in ("GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD"):
            answer = await api.client.request(method, path.replace("{order_id}", order.id))
            kept = KEPT.get(path, "no-store") if method == "GET" else "no-store"
            assert answer.headers.get_list("cache-control") == [kept], (method, path, answer.status_code)
            asked += 1
    assert asked > 60
    preflight = {"origin": "http://shop.test", "access-control-request-method": "POST"}
    answer = await api.client.options(f"/store/orders/{order.id}/cancel", headers=preflight)
    assert (answer.status_code, answer.headers["cache-control"]) == (204, "no-store")
    for path in ("cancel", "cancellation"):
        answer = await api.client.get(f"/store/orders/{order.id}/{path}", headers={"x-publishable-api-key": api.key})
        assert (answer.status_code, answer.headers["cache-control"]) == (401, "no-store")
    assert (await api.cancel(order.id)).headers["cache-control"] == "no-store"
    assert (await api.cancel(order.id, content=b"x" * 20_000)).headers["cache-control"] == "no-store"


OVERSIZED = {
    "one header": [("cookie", "x" * (MAX_HEADER_BYTES - 5))],
    "its name": [("x" * (MAX_HEADER_BYTES + 1), "")],
    "all together": [(f"x-{n}", "x" * 4000) for n in range(MAX_HEAD_BYTES // 4000 + 1)],
    "too many": [(f"x-{n}", "") for n in range(MAX_HEADERS + 1)],
    "too many of one": [("cookie", "a=1")] * (MAX_HEADERS + 1),
}


@pytest.mark.parametrize("headers", OVERSIZED.values(), ids=OVERSIZED.keys())
async def test_oversized_headers(api: Api, headers: list[tuple[str, str]]) -> None:
    for path in ("/health/live", "/store/orders/order_1/cancel", "/hooks/stripe", "/nowhere"):
        answer = await api.client.post(path, headers=headers)
        assert answer.status_code == 431, path
        assert answer.json()["code"] == "headers_too_large"
        assert answer.headers["content-type"] == JSON_TYPE
        assert answer.headers["cache-control"] == "no-store"


async def test_headers_at_the_limit(api: Api) -> None:
    at_most = [("cookie", "x" * (MAX_HEADER_BYTES - 6)), *((f"x-{n:02}", "") for n in range(80))]
    assert (await api.client.get("/health/live", headers=at_most)).status_code == 200


async def test_a_target_that_is_too_long(api: Api) -> None:
    for path in ("/" + "x" * MAX_TARGET_BYTES, "/health/live?" + "x" * MAX_TARGET_BYTES, "/%00" * 2048 + "x"):
        answer = await api.client.get(path)
        assert (answer.status_code, answer.json()["code"]) == (414, "uri_too_long")
    assert (await api.client.get("/health/live?" + "x" * (MAX_TARGET_BYTES - 12))).status_code == 200
