"""What our route answers about orders that Medusa, its admin or its customers have been at before."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from .orders import Medusa, Placed
from .rows import take_snapshot
from .seed import CUSTOMER, OTHER_CUSTOMER
from .sidecar import Sidecar, token
from .stripe import money_at_stripe
from .twins import Connection, cancel_by_medusa, settled, tracked

pytestmark = pytest.mark.medusa

PROCESSED = "Order already processed"
TOO_LATE = "Order is already being processed. Please contact support for a refund."


async def _refused(sidecar: Sidecar, conn: Connection, placed: Placed) -> tuple[int, str, str]:
    """A cancel that must be refused and change nothing: its status, code and message."""
    before = await take_snapshot(conn)
    answer = await sidecar.cancel(placed.id)
    assert await take_snapshot(conn) == before
    return answer.status_code, answer.json().get("code", ""), answer.json()["message"]


async def test_an_order_the_admin_canceled_first(medusa: Medusa, sidecar: Sidecar, shop_db: Connection) -> None:
    placed = await medusa.place_order()
    await cancel_by_medusa(medusa, placed)

    answer = await sidecar.cancel(placed.id)

    assert answer.status_code == 200
    assert answer.json() == {
        "order_id": placed.id,
        "status": "canceled",
        "payment_action": "voided",
        "message": "Already canceled",
    }


async def test_an_order_the_admin_captured_first(medusa: Medusa, sidecar: Sidecar, shop_db: Connection) -> None:
    placed = await medusa.place_order()
    await medusa.admin_post(f"/admin/payments/{placed.payment_id}/capture")

    assert await _refused(sidecar, shop_db, placed) == (409, "late_cancel", PROCESSED)


@pytest.mark.parametrize("provider", ["stripe", "system"])
async def test_an_order_the_admin_captured_in_part(
    medusa: Medusa, sidecar: Sidecar, shop_db: Connection, provider: Any
) -> None:
    placed = await medusa.place_order(provider=provider)
    await medusa.admin_post(f"/admin/payments/{placed.payment_id}/capture", {"amount": 10})

    refusal = await _refused(sidecar, shop_db, placed)

    assert refusal == (422, "partial_capture", "Cannot cancel partially captured order")


async def test_an_order_with_an_edit_on_its_way(medusa: Medusa, sidecar: Sidecar, shop_db: Connection) -> None:
    placed = await medusa.place_order()
    await medusa.admin_post("/admin/order-edits", {"order_id": placed.id})

    status, code, _ = await _refused(sidecar, shop_db, placed)

    assert (status, code) == (409, "order_change_pending")
    assert (await money_at_stripe(medusa, placed)).status == "requires_capture"


async def test_an_order_on_its_way_to_the_customer(medusa: Medusa, sidecar: Sidecar, shop_db: Connection) -> None:
    placed = await medusa.place_order()
    await medusa.fulfill(placed)

    assert await _refused(sidecar, shop_db, placed) == (409, "late_cancel", PROCESSED)


async def test_an_order_whose_fulfillment_was_called_off(medusa: Medusa, sidecar: Sidecar, shop_db: Connection) -> None:
    placed = await medusa.place_order()
    await medusa.fulfill(placed)
    [fulfillment] = (await medusa.order(placed.id))["fulfillments"]
    await medusa.admin_post(f"/admin/orders/{placed.id}/fulfillments/{fulfillment['id']}/cancel")

    answer = await sidecar.cancel(placed.id)
    await settled(shop_db, placed.id)

    assert answer.status_code == 200, answer.text
    live = "select count(*) from reservation_item where line_item_id = any ($1) and deleted_at is null"
    assert await shop_db.fetchval(live, list(placed.item_ids)) == 0


async def test_a_completed_order(medusa: Medusa, sidecar: Sidecar, shop_db: Connection) -> None:
    placed = await medusa.place_order()
    await medusa.admin_post(f"/admin/orders/{placed.id}/complete")

    assert await _refused(sidecar, shop_db, placed) == (409, "late_cancel", PROCESSED)


async def test_an_order_whose_grace_period_is_over(medusa: Medusa, sidecar: Sidecar, shop_db: Connection) -> None:
    placed = await medusa.place_order()
    await tracked(shop_db, placed)  # its capture stays where it is, an hour from now
    aged = "update \"order\" set created_at = created_at - interval '3601 seconds' where id = $1"
    await shop_db.execute(aged, placed.id)

    assert await _refused(sidecar, shop_db, placed) == (409, "late_cancel", TOO_LATE)


async def test_a_draft_order_is_none_of_the_shoppers_business(
    medusa: Medusa, sidecar: Sidecar, shop_db: Connection
) -> None:
    body: dict[str, Any] = {"region_id": medusa.shop.regions["eur"], "email": "guest@shop.test"}
    draft = (await medusa.admin_post("/admin/draft-orders", body))["draft_order"]["id"]

    answer = await sidecar.cancel(draft)

    assert (answer.status_code, answer.json()["type"]) == (404, "not_found")


async def test_a_customer_cancels_their_own_order_and_no_other(medusa: Medusa, sidecar: Sidecar) -> None:
    placed = await medusa.place_order(customer=CUSTOMER)
    owner, stranger = [await medusa.bearer("customer", who) for who in (CUSTOMER, OTHER_CUSTOMER)]

    refused = await sidecar.send(placed.id, authorization=stranger)
    unknown = await sidecar.send("order_01ARZ3NDEKTSV4RRFFQ69G5FAV", authorization=stranger)
    canceled = await sidecar.send(placed.id, authorization=owner)

    assert refused.status_code == unknown.status_code == 404
    assert refused.text == unknown.text.replace("order_01ARZ3NDEKTSV4RRFFQ69G5FAV", placed.id)
    assert (canceled.status_code, canceled.json()["status"]) == (200, "canceled")


async def test_an_admin_token_is_no_customer(medusa: Medusa, sidecar: Sidecar) -> None:
    placed = await medusa.place_order(customer=CUSTOMER)

    answer = await sidecar.send(placed.id, authorization=medusa.admin.headers["authorization"])

    assert answer.status_code == 401


async def test_tokens_are_for_one_order_for_a_while(medusa: Medusa, sidecar: Sidecar) -> None:
    placed, other = await medusa.place_order(), await medusa.place_order()

    async def tried(value: str) -> tuple[int, str]:
        answer: httpx.Response = await sidecar.send(placed.id, **{"x-modification-token": value})
        return answer.status_code, answer.json()["code"]

    assert await tried("nonsense") == (401, "token_invalid")
    assert await tried(token(placed.id, exp=1_600_000_000)) == (401, "token_expired")
    assert await tried(token(other.id)) == (403, "token_mismatch")
    nothing = await sidecar.send(placed.id)
    assert (nothing.status_code, nothing.json()["code"]) == (401, "token_required")
    assert (await medusa.order(placed.id))["status"] == "pending"
