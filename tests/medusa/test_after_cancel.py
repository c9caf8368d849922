"""What Medusa makes of an order that we canceled: it refuses to go on with it, and tells its subscribers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any

import pytest

from .lab import Lab
from .orders import Medusa
from .packages import chosen_version
from .sidecar import Sidecar
from .stripe import money_at_stripe
from .twins import Connection, cancel_by_medusa, cancel_by_us

pytestmark = pytest.mark.medusa

# Since 2.18 Medusa also announces each reservation it lets go of. We do not: "order.canceled" says it for all of them.
ONLY_MEDUSA_TELLS = {"reservation-item.deleted"} if chosen_version() >= (2, 18) else set[str]()
_SINCE_2_17 = {"created_at", "published_at"}


async def test_medusa_refuses_to_cancel_capture_or_fulfill_what_we_canceled(
    medusa: Medusa, sidecar: Sidecar, shop_db: Connection
) -> None:
    placed = await medusa.place_order()
    answer = await cancel_by_us(sidecar, shop_db, placed)
    assert answer == {"order_id": placed.id, "status": "canceled", "payment_action": "voided"}

    cancel = await medusa.admin.post(f"/admin/orders/{placed.id}/cancel")
    capture = await medusa.admin.post(f"/admin/payments/{placed.payment_id}/capture", json={})
    fulfillment = await medusa.try_to_fulfill(placed)

    already = f"Order with id {placed.id} has been canceled."
    assert (cancel.status_code, cancel.json()["message"]) == (400, already)
    gone = f"The payment: {placed.payment_id} has been canceled."
    assert (capture.status_code, capture.json()["message"]) == (400, gone)
    assert (fulfillment.status_code, fulfillment.json()["message"]) == (400, already)
    order = await medusa.order(placed.id, "+canceled_at")
    assert (order["status"], order["payment_status"]) == ("canceled", "canceled")
    assert order["fulfillment_status"] == "not_fulfilled"
    assert order["canceled_at"] is not None
    money = await money_at_stripe(medusa, placed)
    assert (money.status, money.capturable, money.received) == ("canceled", 0, 0)


async def test_a_subscriber_of_medusa_gets_order_canceled_once_and_as_from_medusa(
    medusa: Medusa, sidecar: Sidecar, lab: Lab, shop_db: Connection
) -> None:
    theirs, mine = await medusa.place_order(), await medusa.place_order()

    await cancel_by_medusa(medusa, theirs)
    await cancel_by_us(sidecar, shop_db, mine)

    from_medusa = await _event(lab, "order.canceled", theirs.id)
    from_us = await _event(lab, "order.canceled", mine.id)
    assert from_us["data"] == {"id": mine.id}
    assert from_us.keys() == from_medusa.keys()
    assert from_medusa["data"].keys() == from_us["data"].keys()
    more = set[str]() if chosen_version() >= (2, 17) else _SINCE_2_17
    assert from_us["metadata"].keys() - more <= from_medusa["metadata"].keys()
    assert not from_medusa["metadata"].keys() & more


async def test_what_else_medusas_own_cancel_tells_its_subscribers_is_known(
    medusa: Medusa, sidecar: Sidecar, lab: Lab, shop_db: Connection
) -> None:
    theirs, mine = await medusa.place_order(), await medusa.place_order()
    await _quiet(lab)

    from_medusa = await _events_of(lab, cancel_by_medusa(medusa, theirs))
    from_us = await _events_of(lab, cancel_by_us(sidecar, shop_db, mine))

    assert from_us == {"order.canceled"}
    assert from_medusa - from_us == ONLY_MEDUSA_TELLS


async def test_a_subscriber_of_medusa_gets_payment_captured(medusa: Medusa, hasty_sidecar: Sidecar, lab: Lab) -> None:
    placed = await medusa.place_order()

    event = await _event(lab, "payment.captured", placed.payment_id)

    assert event["data"] == {"id": placed.payment_id}


async def _events_of(lab: Lab, act: Coroutine[Any, Any, Any]) -> set[str]:
    """The names of all events that an act sends, save those of single writes.

    Those (``order.order-item.created``, ``LinkOrderPaymentCollection.attached``) feed Medusa's own index and cache,
    where a shop has them switched on.
    """
    before = len(lab.events())
    await act
    await _quiet(lab)
    names = {event["name"] for event in lab.events()[before:]}
    return {name for name in names if name.count(".") == 1 and not name.startswith("Link")}


async def _quiet(lab: Lab, *, seconds: float = 1.5, at_most: float = 30) -> None:
    """Until nothing more has been announced for that long: Medusa sends events after the answer, some of them late."""
    end = time.monotonic() + at_most
    heard, since = len(lab.events()), time.monotonic()
    while time.monotonic() - since < seconds:
        assert time.monotonic() < end, f"events still came after {at_most} s"
        await asyncio.sleep(0.1)
        if len(lab.events()) != heard:
            heard, since = len(lab.events()), time.monotonic()


async def _event(lab: Lab, name: str, subject: str, *, seconds: float = 15) -> dict[str, Any]:
    """The one event of that name and subject, a moment after it came, so that a second one would show."""
    deadline = time.monotonic() + seconds
    while not (found := [event for event in lab.events(name) if event["data"]["id"] == subject]):
        assert time.monotonic() < deadline, f"no {name} of {subject} after {seconds} s"
        await asyncio.sleep(0.1)
    await asyncio.sleep(0.5)
    [event] = [event for event in lab.events(name) if event["data"]["id"] == subject] or found
    return event
