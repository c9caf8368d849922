"""What an answer must look like, and what a refusal must leave alone."""

from __future__ import annotations

import json
from typing import Any

import httpx

from tests.http.rows import everything
from tests.world import Api, Shop

JSON_TYPE = "application/json; charset=utf-8"


Body = dict[str, str]


async def assert_refused(
    shop: Shop, api: Api, order_id: str, status: int, body: Body, **request: Any
) -> httpx.Response:
    """The cancel is answered with just that, and not one row of the database is another one afterwards."""
    before = await everything(shop.conn)
    answer = await api.cancel(order_id, **request)
    assert_answer(answer, status, body)
    assert await everything(shop.conn) == before
    return answer


def assert_answer(answer: httpx.Response, status: int, body: Body) -> None:
    """Status, and the body to the byte: Medusa's order of keys counts."""
    assert (answer.status_code, answer.text) == (status, compact(body))
    assert answer.headers.get_list("content-type") == [JSON_TYPE]


def compact(body: Body) -> str:
    """As Express writes JSON."""
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False)


def not_found(order_id: str) -> Body:
    """Medusa's own words."""
    return {"code": "not_found", "type": "not_found", "message": f"Order id not found: {order_id}"}


def conflict(code: str, message: str, reason: str) -> Body:
    """409."""
    return {"code": code, "type": "conflict", "message": message, "reason": reason}
