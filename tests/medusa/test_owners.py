"""Whose an order is at a real Medusa: requested and accepted transfers, orders made from drafts, sessions by cookie."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from .orders import Medusa, Placed
from .seed import CUSTOMER, OTHER_CUSTOMER
from .sidecar import Sidecar, token
from .twins import Connection

pytestmark = pytest.mark.medusa

ORIGIN = {"origin": "http://storefront.test"}
CHANGE = "select * from order_change where order_id = $1 and change_type = 'transfer'"


async def _requested(medusa: Medusa) -> Placed:
    placed = await medusa.place_order()
    stranger = {"authorization": await medusa.bearer("customer", OTHER_CUSTOMER)}
    asked = await medusa.store.post(f"/store/orders/{placed.id}/transfer/request", json={}, headers=stranger)
    assert asked.status_code == 200, asked.text
    return placed


async def _accept(medusa: Medusa, conn: Connection, placed: Placed, how: str = "accept") -> httpx.Response:
    query = "select details::text from order_change_action where order_id = $1 and action = 'TRANSFER_CUSTOMER'"
    secret = json.loads(await conn.fetchval(query, placed.id))["token"]
    return await medusa.store.post(f"/store/orders/{placed.id}/transfer/{how}", json={"token": secret})


async def test_a_cancel_declines_a_requested_transfer_as_medusa_does(
    medusa: Medusa, sidecar: Sidecar, shop_db: Connection
) -> None:
    ours, theirs = await _requested(medusa), await _requested(medusa)
    assert (await _accept(medusa, shop_db, theirs, "decline")).status_code == 200

    answer = await sidecar.cancel(ours.id)

    assert answer.status_code == 200, answer.text
    declined, by_medusa = [await shop_db.fetchrow(CHANGE, placed.id) for placed in (ours, theirs)]
    assert declined is not None
    assert by_medusa is not None
    assert {name for name, value in declined.items() if value is not None} == {
        name for name, value in by_medusa.items() if value is not None
    }
    assert declined["status"] == by_medusa["status"] == "declined"
    refused = await _accept(medusa, shop_db, ours)
    assert refused.status_code == 400, refused.text
    assert await shop_db.fetchval('select status from "order" where id = $1', ours.id) == "canceled"
    preview = await medusa.admin.get(f"/admin/orders/{ours.id}/preview")
    assert preview.json()["order"].get("order_change") is None, "nothing for the admin to withdraw"


async def test_an_accepted_transfer_ends_the_links_of_before(
    medusa: Medusa, sidecar: Sidecar, shop_db: Connection
) -> None:
    placed = await _requested(medusa)
    before = int(time.time())
    assert (await _accept(medusa, shop_db, placed)).status_code == 200

    for old in (token(placed.id), token(placed.id, iat=before)):
        answer = await sidecar.send(placed.id, **{"x-modification-token": old})
        assert (answer.status_code, answer.json()["code"]) == (403, "token_mismatch")
    owner = await medusa.bearer("customer", OTHER_CUSTOMER)
    assert (await sidecar.send(placed.id, authorization=owner)).status_code == 200


async def test_another_address_ends_the_links_of_before(medusa: Medusa, sidecar: Sidecar, shop_db: Connection) -> None:
    placed = await medusa.place_order()
    before = int(time.time())
    await medusa.admin_post(f"/admin/orders/{placed.id}", {"email": "corrected@shop.test"})
    answer = await sidecar.send(placed.id, **{"x-modification-token": token(placed.id, iat=before)})
    assert (answer.status_code, answer.json()["code"]) == (403, "token_mismatch")
    await asyncio.sleep(1.1)
    new = token(placed.id, iat=int(time.time()))
    assert (await sidecar.send(placed.id, **{"x-modification-token": new})).status_code == 200


@pytest.mark.parametrize("sku", ["SHIRT-M", "GIFT-CARD"])
async def test_an_order_made_from_an_old_draft_has_the_whole_period(
    medusa: Medusa, sidecar: Sidecar, shop_db: Connection, sku: str
) -> None:
    body: dict[str, Any] = {
        "region_id": medusa.shop.regions["eur"],
        "email": "draft@shop.test",
        "sales_channel_id": medusa.shop.sales_channel,
        "shipping_address": {"country_code": "de", "address_1": "Main street 2", "city": "Somewhere"},
        "items": [{"variant_id": medusa.shop.variants[sku], "quantity": 1}],
    }
    draft = (await medusa.admin_post("/admin/draft-orders", body))["draft_order"]["id"]
    await shop_db.execute("update \"order\" set created_at = created_at - interval '3 days' where id = $1", draft)

    await medusa.admin_post(f"/admin/draft-orders/{draft}/convert-to-order")
    converted = await shop_db.fetchval('select updated_at from "order" where id = $1', draft)
    await medusa.admin_post(f"/admin/orders/{draft}", {"metadata": {"touched": "later"}})

    headers = {"x-publishable-api-key": medusa.shop.publishable_key, "x-modification-token": token(draft)}
    preview = (await sidecar.request("GET", f"/store/orders/{draft}/cancel", headers=headers)).json()
    until = datetime.fromisoformat(preview["cancelable_until"])
    assert abs(until - timedelta(hours=1) - converted) < timedelta(seconds=0.5)


async def test_a_line_that_an_edit_removed_from_the_draft_tells_nothing_of_its_conversion(
    medusa: Medusa, sidecar: Sidecar, shop_db: Connection
) -> None:
    """Its tax lines stay as old as the draft: a conversion makes those of the current version again."""
    skus = ("SHIRT-M", "GIFT-CARD")
    body: dict[str, Any] = {
        "region_id": medusa.shop.regions["eur"],
        "email": "draft@shop.test",
        "sales_channel_id": medusa.shop.sales_channel,
        "shipping_address": {"country_code": "de", "address_1": "Main street 2", "city": "Somewhere"},
        "items": [{"variant_id": medusa.shop.variants[sku], "quantity": 1} for sku in skus],
    }
    draft = (await medusa.admin_post("/admin/draft-orders", body))["draft_order"]["id"]
    removed = await shop_db.fetchval(
        "select i.item_id from order_item as i join order_line_item as l on l.id = i.item_id "
        "where i.order_id = $1 and l.variant_id = $2",
        draft,
        medusa.shop.variants["SHIRT-M"],
    )
    edit = f"/admin/draft-orders/{draft}/edit"
    await medusa.admin_post(edit)
    await medusa.admin_post(f"{edit}/items/item/{removed}", {"quantity": 0})
    await medusa.admin_post(f"{edit}/request")
    await medusa.admin_post(f"{edit}/confirm")
    await shop_db.execute("update \"order\" set created_at = created_at - interval '3 days' where id = $1", draft)
    await shop_db.execute(
        "update order_line_item_tax_line as t set created_at = t.created_at - interval '3 days' "
        "from order_item as i where i.item_id = t.item_id and i.order_id = $1",
        draft,
    )

    await medusa.admin_post(f"/admin/draft-orders/{draft}/convert-to-order")
    converted = await shop_db.fetchval('select updated_at from "order" where id = $1', draft)
    await medusa.admin_post(f"/admin/orders/{draft}", {"metadata": {"touched": "later"}})
    headers = {"x-publishable-api-key": medusa.shop.publishable_key, "x-modification-token": token(draft)}
    preview = (await sidecar.request("GET", f"/store/orders/{draft}/cancel", headers=headers)).json()
    until = datetime.fromisoformat(preview["cancelable_until"])
    assert abs(until - timedelta(hours=1) - converted) < timedelta(seconds=0.5)


async def test_a_customer_with_medusas_session_cookie(medusa: Medusa, sidecar: Sidecar) -> None:
    """js-sdk's ``auth.type: "session"``: the cookie is Medusa's own, and ends with its session."""
    placed = await medusa.place_order(customer=CUSTOMER)
    signed_in = await medusa.admin.post(
        "/auth/session", headers={"authorization": await medusa.bearer("customer", CUSTOMER)}
    )
    cookie = {"cookie": signed_in.headers["set-cookie"].partition(";")[0]}
    medusa.admin.cookies.clear()

    foreign = await sidecar.send(placed.id, **cookie, origin="https://evil.test")
    nowhere = await sidecar.send(placed.id, **cookie)
    made_up = await sidecar.send(placed.id, cookie="connect.sid=s%3Amade-up.up", **ORIGIN)
    assert [answer.status_code for answer in (foreign, nowhere, made_up)] == [401, 401, 401]
    canceled = await sidecar.send(placed.id, **cookie, **ORIGIN)
    assert canceled.status_code == 200, canceled.text

    async with httpx.AsyncClient(base_url=medusa.lab.url) as client:
        assert (await client.delete("/auth/session", headers=cookie)).status_code == 200
    assert (await sidecar.send(placed.id, **cookie, **ORIGIN)).status_code == 401
