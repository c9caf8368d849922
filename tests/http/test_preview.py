"""GET on the path of the cancel: what a cancel would do, for a storefront's button and countdown."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest

from app.embedded.shop import PlacedOrder
from tests.databases import one_database_a_file
from tests.http.answers import JSON_TYPE, assert_answer, not_found
from tests.http.proofs import bearer, customer_token
from tests.http.rows import everything
from tests.http.test_cancel_contract import ALREADY, LATE, NOBODYS, REFUSED, Situation, after
from tests.world import Api, Shop, token_for

database = one_database_a_file()


async def look(api: Api, order_id: str, headers: dict[str, str] | None = None) -> httpx.Response:
    sent = {"x-publishable-api-key": api.key, "x-modification-token": token_for(order_id)}
    return await api.client.get(f"/store/orders/{order_id}/cancel", headers=sent if headers is None else headers)


async def looked(shop: Shop, api: Api, order: PlacedOrder) -> dict[str, Any]:
    """The preview of an order, which changed nothing."""
    before = await everything(shop.conn)
    answer = await look(api, order.id)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == JSON_TYPE
    assert answer.headers["cache-control"] == "no-store"
    assert await everything(shop.conn) == before
    body: dict[str, Any] = answer.json()
    assert body.pop("order_id") == order.id
    assert body.pop("reasons") == []
    now = datetime.fromisoformat(body.pop("server_time"))
    assert abs(now - datetime.now(UTC)) < timedelta(seconds=5)
    assert datetime.fromisoformat(body.pop("cancelable_until")) == order.created_at + timedelta(hours=1)
    return body


@pytest.mark.parametrize(
    ("options", "action"),
    [({}, "voided"), ({"payments": (), "total": Decimal(0)}, "none")],
    ids=["a hold", "nothing to pay"],
)
async def test_cancelable(shop: Shop, api: Api, options: dict[str, Any], action: str) -> None:
    order = await shop.place(**options)
    assert await looked(shop, api, order) == {"cancelable": True, "reason": None, "payment_action": action}


SOME = ["captured", "packed", "we are capturing", "grace period over", "open edit", "nothing linked"]


@pytest.mark.parametrize("name", SOME)
async def test_not_cancelable(shop: Shop, api: Api, name: str) -> None:
    """The very reason that a cancel is then refused with."""
    situation, _, body = REFUSED[name]
    order = await situation(shop)
    created_at = await shop.conn.fetchval('select created_at from "order" where id = $1', order.id)
    assert created_at == order.created_at
    assert await looked(shop, api, order) == {
        "cancelable": False,
        "reason": body["reason"],
        "payment_action": "none",
    }


async def test_partly_captured(shop: Shop, api: Api) -> None:
    order = await REFUSED["partly captured"][0](shop)
    assert (await looked(shop, api, order))["reason"] == "partial_capture"


async def test_canceled(shop: Shop, api: Api) -> None:
    order = await shop.place()
    await api.cancel(order.id)
    assert await looked(shop, api, order) == {
        "cancelable": False,
        "reason": "canceled",
        "payment_action": "void_pending",
    }


async def test_canceled_by_the_admin(shop: Shop, api: Api) -> None:
    situation, action = ALREADY["by the admin"]
    assert (await looked(shop, api, await situation(shop)))["payment_action"] == action


@pytest.mark.parametrize("situation", [NOBODYS["draft"], NOBODYS["deleted"]], ids=["draft", "deleted"])
async def test_not_found(shop: Shop, api: Api, situation: Situation) -> None:
    order = await situation(shop)
    assert_answer(await look(api, order.id), 404, not_found(order.id))


async def test_without_a_right_nothing_is_told(shop: Shop, api: Api) -> None:
    order, mine = await after(**LATE)(shop), await shop.place(account=True)
    key = {"x-publishable-api-key": api.key}
    assert (await look(api, order.id, {})).status_code == 400
    assert (await look(api, order.id, key)).json()["code"] == "token_required"
    assert (await look(api, order.id, {**key, "x-modification-token": "garbage"})).json()["code"] == "token_invalid"
    others = {**key, "x-modification-token": token_for(mine.id)}
    assert (await look(api, order.id, others)).json()["code"] == "token_mismatch"
    signed_in = {**key, **bearer(customer_token(mine))}
    assert_answer(await look(api, order.id, signed_in), 404, not_found(order.id))
    assert (await look(api, mine.id, signed_in)).json()["cancelable"] is True
