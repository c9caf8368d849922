"""Paths, methods and ids that no storefront of good faith sends: never a 5xx, always Medusa's words."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

import pytest

from tests.databases import one_database_a_file
from tests.http.answers import JSON_TYPE, assert_answer, not_found
from tests.http.rows import everything
from tests.world import Api, Shop, token_for

database = one_database_a_file()

ODD_IDS = {
    "NUL": "%00",
    "NUL inside": "order_%00",
    "emoji": "%F0%9F%98%80",
    "line feed": "order_%0A",
    "blank": "order%20_1",
    "question mark": "order_1%3Fx",
    "percent": "%25",
    "quote": "'%20or%20'1'%3D'1",
    "not UTF-8": "%FF",
    "half a surrogate": "%ED%A0%80",
    "right to left": "%E2%80%AEorder",
}


@pytest.fixture
def post(api: Api) -> Any:
    async def post(path: str, **headers: str) -> Any:
        return await api.client.post(path, headers={"x-publishable-api-key": api.key, **headers})

    return post


async def test_odd_ids(shop: Shop, post: Any) -> None:
    order = await shop.place()
    before = await everything(shop.conn)
    for name, quoted in ODD_IDS.items():
        path = f"/store/orders/{quoted}/cancel"
        assert (await post(path)).status_code == 401, name
        order_id = unquote(quoted)
        answer = await post(path, **{"x-modification-token": token_for(order_id)})
        assert_answer(answer, 404, not_found(order_id))
        answer = await post(path, **{"x-modification-token": token_for(order.id)})
        assert answer.status_code == 403, name
    assert await everything(shop.conn) == before


@pytest.mark.parametrize("length", [128, 129, 300, 5000])
async def test_long_ids(post: Any, length: int) -> None:
    order_id = "x" * length
    answer = await post(f"/store/orders/{order_id}/cancel", **{"x-modification-token": token_for(order_id)})
    if length > 3000:
        assert answer.status_code == 401, "its token is too long"
    else:
        assert_answer(answer, 404, not_found(order_id[:128]))


NOT_FOUND = {"code": "not_found", "type": "not_found", "message": "Not found"}


async def test_unknown_paths(api: Api) -> None:
    for path in (
        "/",
        "/store",
        "/store/",
        "/store/orders",
        "/store/orders/order_1",
        "/store/orders//cancel",
        "/store/orders/order_1/cancel/now",
        "/store/orders/a%2Fb/cancel",
        "/store/orders/..%2F..%2Fetc/cancel",
        "/schema",
        "/admin",
        "/metrics%00",
        "/%F0%9F%98%80",
    ):
        for method in ("GET", "POST"):
            answer = await api.client.request(method, path)
            assert answer.status_code == 404, path
            assert_answer(answer, 404, NOT_FOUND)


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
async def test_wrong_methods(api: Api, method: str) -> None:
    answer = await api.client.request(method, "/store/orders/order_1/cancel")
    body = {"code": "not_allowed", "type": "not_allowed", "message": "Method Not Allowed"}
    assert_answer(answer, 405, body)
    assert set(answer.headers["allow"].split(", ")) == {"GET", "OPTIONS", "POST"}


async def test_no_answer_is_empty(shop: Shop, api: Api) -> None:
    """Medusa's js-sdk throws at an empty body; and none says more of the server than it must."""
    order = await shop.place()
    for answer in (
        await api.cancel(order.id),
        await api.cancel("order_unknown"),
        await api.client.delete("/store/orders/order_1/cancel"),
        await api.client.get("/nowhere"),
    ):
        assert answer.json()
        assert answer.headers["content-type"] == JSON_TYPE
        assert not {"server", "x-powered-by"} & set(answer.headers)


async def test_every_answer_has_a_request_id(shop: Shop, api: Api) -> None:
    order = await shop.place()
    answers = [
        await api.cancel(order.id, token=None),
        await api.cancel("order_unknown"),
        await api.cancel(order.id, content=b"{"),
    ]
    assert all(len(answer.headers.get("x-request-id", "")) == 26 for answer in answers)


async def test_health(api: Api) -> None:
    assert (await api.client.get("/health/live")).json() == {"status": "ok"}
    assert (await api.client.get("/health/ready")).json()["checks"]["database"] == {"status": "ok", "detail": None}
