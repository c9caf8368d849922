"""After a capture of less than the hold, and after the void of a hold that is not owed, Medusa's admin says so.

It offers no capture that would fail; refunds, edits and its webhook work on.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from decimal import Decimal
from typing import Any

import httpx
import pytest

from app.embedded.stripe_sandbox.client import Sandbox

from .conftest import Sidecars
from .orders import Medusa, Placed
from .sidecar import Sidecar
from .stripe import Money, money_at_stripe
from .twins import Connection, captured, settled

pytestmark = pytest.mark.medusa

LATER = {"GRACE_PERIOD_SECONDS": "14"}
TOTAL = Decimal("53.5262")
"""Of two shirts: no sum that a currency can show."""


async def _credit(medusa: Medusa, placed: Placed, amount: Decimal) -> None:
    body = {"amount": float(amount), "reference": "goodwill", "reference_id": "a call"}
    await medusa.admin_post(f"/admin/orders/{placed.id}/credit-lines", body)


async def _collections(medusa: Medusa, placed: Placed) -> list[tuple[str, Decimal, Decimal]]:
    order = await medusa.order(placed.id, "+payment_collections.captured_amount")
    return [
        (found["status"], Decimal(str(found["amount"])), Decimal(str(found.get("captured_amount") or 0)))
        for found in sorted(order["payment_collections"], key=lambda found: str(found["id"]))
    ]


async def _summary(medusa: Medusa, placed: Placed) -> tuple[str, Decimal]:
    order = await medusa.order(placed.id)
    return order["payment_status"], Decimal(str(order["summary"]["pending_difference"]))


async def _buttons(shop_db: Connection, placed: Placed) -> int:
    """Payments for which the admin shows its Capture button: both moments are empty."""
    return int(
        await shop_db.fetchval(
            "select count(*) from payment where id = $1 and captured_at is null and canceled_at is null",
            placed.payment_id,
        )
    )


async def _incidents(shop_db: Connection, placed: Placed) -> list[str]:
    rows = await shop_db.fetch("select kind from grace.incidents where order_id = $1", placed.id)
    return [row["kind"] for row in rows]


async def _webhook(medusa: Medusa, intent: dict[str, Any]) -> None:
    """Stripe's ``payment_intent.succeeded``, as Medusa gets it; its subscriber waits for five seconds."""
    event = {
        "id": "evt_1",
        "object": "event",
        "type": "payment_intent.succeeded",
        "data": {"object": intent},
    }
    body, moment = json.dumps(event), int(time.time())
    signature = hmac.new(b"whsec_made_up", f"{moment}.{body}".encode(), hashlib.sha256).hexdigest()
    headers = {"stripe-signature": f"t={moment},v1={signature}", "content-type": "application/json"}
    async with httpx.AsyncClient() as client:
        answer = await client.post(f"{medusa.lab.url}/hooks/payment/stripe_stripe", content=body, headers=headers)
    assert answer.is_success, answer.text


def _sandbox(medusa: Medusa) -> Sandbox:
    return Sandbox(medusa.lab.surroundings.stripe_url, medusa.lab.surroundings.stripe_key)


async def _voided(shop_db: Connection, placed: Placed) -> None:
    deadline = time.monotonic() + 20
    while not await shop_db.fetchval(
        "select 1 from grace.jobs where order_id = $1 and kind = 'void' and state = 'done'", placed.id
    ):
        assert time.monotonic() < deadline, "its hold is not voided after 20 s"
        await asyncio.sleep(0.1)
    await settled(shop_db, placed.id)


async def test_a_credit_line_lowers_what_is_captured(
    medusa: Medusa, hasty_sidecar: Sidecar, shop_db: Connection
) -> None:
    placed = await medusa.place_order(quantity=2)
    await _credit(medusa, placed, Decimal(10))
    await captured(shop_db, placed)

    assert await money_at_stripe(medusa, placed) == Money("succeeded", 4353, 0, 0)
    assert await _summary(medusa, placed) == ("captured", Decimal(0))
    assert await _collections(medusa, placed) == [("completed", TOTAL - 10, TOTAL - 10)]
    assert await _buttons(shop_db, placed) == 0
    await medusa.admin_post(f"/admin/payments/{placed.payment_id}/capture")
    assert await _collections(medusa, placed) == [("completed", TOTAL - 10, TOTAL - 10)], (
        "a second capture does no harm"
    )
    assert await _incidents(shop_db, placed) == []


async def test_what_was_captured_can_be_refunded_and_the_order_be_edited(
    medusa: Medusa, hasty_sidecar: Sidecar, shop_db: Connection
) -> None:
    placed = await medusa.place_order(quantity=2)
    await _credit(medusa, placed, Decimal(10))
    await captured(shop_db, placed)

    await medusa.admin_post(f"/admin/payments/{placed.payment_id}/refund", {"amount": 5})
    assert (await _summary(medusa, placed))[0] == "partially_refunded"
    await medusa.edit(placed, 3)
    status, pending = await _summary(medusa, placed)
    first, second = await _collections(medusa, placed)
    assert (status, first) == ("partially_refunded", ("completed", TOTAL - 10, TOTAL - 10)), "no edit takes it back"
    assert second == ("not_paid", pending, Decimal(0))
    assert (await money_at_stripe(medusa, placed)).refunded == 500


async def test_an_order_that_owes_nothing_has_its_hold_voided(
    medusa: Medusa, hasty_sidecar: Sidecar, shop_db: Connection
) -> None:
    placed = await medusa.place_order(quantity=2)
    await _credit(medusa, placed, TOTAL)
    await _voided(shop_db, placed)

    assert await money_at_stripe(medusa, placed) == Money("canceled", 0, 0, 0)
    assert await _summary(medusa, placed) == ("canceled", Decimal(0))
    assert await _collections(medusa, placed) == [("canceled", TOTAL, Decimal(0))]
    assert await _buttons(shop_db, placed) == 0
    refused = await medusa.admin.post(f"/admin/payments/{placed.payment_id}/capture", json={})
    assert (refused.status_code, "has been canceled" in refused.text) == (400, True)
    await medusa.fulfill(placed)
    assert await _incidents(shop_db, placed) == []


async def test_an_edit_after_that_void_asks_for_a_new_payment(
    medusa: Medusa, hasty_sidecar: Sidecar, shop_db: Connection
) -> None:
    placed = await medusa.place_order(quantity=2)
    await _credit(medusa, placed, TOTAL)
    await _voided(shop_db, placed)

    await medusa.edit(placed, 3)

    status, pending = await _summary(medusa, placed)
    assert (status, pending > 0) == ("not_paid", True)
    assert (await _collections(medusa, placed))[1] == ("not_paid", pending, Decimal(0))


async def test_medusas_webhook_comes_after_our_record(
    medusa: Medusa, hasty_sidecar: Sidecar, shop_db: Connection
) -> None:
    placed = await medusa.place_order(quantity=2)
    await _credit(medusa, placed, Decimal(40))
    await captured(shop_db, placed)
    assert placed.intent_id is not None

    await _webhook(medusa, await _sandbox(medusa).intent(placed.intent_id))
    await asyncio.sleep(8)

    await _is_booked_once(medusa, shop_db, placed)


async def test_medusas_webhook_comes_before_our_record(medusa: Medusa, sidecars: Sidecars, shop_db: Connection) -> None:
    """An attempt of ours whose answer was lost, say: Stripe has told Medusa, and we find out later."""
    sidecars.use(LATER)
    placed = await medusa.place_order(quantity=2)
    await _credit(medusa, placed, Decimal(40))
    around = medusa.lab.surroundings
    headers = {"authorization": f"Bearer {around.stripe_key}"}
    async with httpx.AsyncClient(base_url=around.stripe_url, headers=headers) as stripe:
        path = f"/v1/payment_intents/{placed.intent_id}/capture"
        answer = await stripe.post(path, data={"amount_to_capture": "1353"})
    await _webhook(medusa, answer.json())

    await captured(shop_db, placed, seconds=30)

    await _is_booked_once(medusa, shop_db, placed)


async def _is_booked_once(medusa: Medusa, shop_db: Connection, placed: Placed) -> None:
    assert await money_at_stripe(medusa, placed) == Money("succeeded", 1353, 0, 0)
    assert await shop_db.fetchval("select count(*) from capture where payment_id = $1", placed.payment_id) == 1
    assert await shop_db.fetchval("select count(*) from order_transaction where order_id = $1", placed.id) == 1
    status, pending = await _summary(medusa, placed)
    assert (status, round(pending, 2)) == ("captured", Decimal(0)), "Medusa's webhook books Stripe's rounded sum"
    [(state, amount, taken)] = await _collections(medusa, placed)
    assert (state, round(amount, 2), round(taken, 2)) == ("completed", Decimal("13.53"), Decimal("13.53"))
    assert await _buttons(shop_db, placed) == 0
    assert await _incidents(shop_db, placed) == []
