"""After our cancel the shop's tables say what they say after Medusa's own, save for what is explained here."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from .conftest import PATIENT, Sidecars
from .differences import Explained, assert_explained, compare
from .orders import Medusa, Placed
from .packages import chosen_version
from .seed import CUSTOMER, PROMOTION, STOCKED, UNSTOCKED
from .sidecar import Sidecar
from .twins import Connection, cancel_by_medusa, cancel_by_us, watched

pytestmark = pytest.mark.medusa

_VERSION_2 = "only there for the credit line: Medusa copies what an order holds to every new version"
EXPLAINED = (
    Explained(
        "only Medusa",
        "insert",
        "order_credit_line",
        None,
        "a credit line over 0, for money that was never taken; it changes no total",
    ),
    Explained("only Medusa", "insert", "order_change", None, "the change that brings the credit line over 0"),
    Explained("only Medusa", "insert", "order_change_action", None, "its one action"),
    Explained("only Medusa", "insert", "order_item", None, _VERSION_2),
    Explained("only Medusa", "insert", "order_shipping", None, _VERSION_2),
    Explained("only Medusa", "insert", "order_summary", None, _VERSION_2),
    Explained("only Medusa", "update", "order", "version", "we make no new version: ours would hold nothing new"),
)
BEFORE_2_15 = tuple(
    Explained("only ours", "update", "payment", f"data.{name}", "Medusa did not keep Stripe's answer to its void")
    for name in ("amount_capturable", "canceled_at", "status")
)
PROMOTED = (Explained("only Medusa", "insert", "order_line_item_adjustment", None, _VERSION_2),)
EDITED = (
    Explained(
        "only Medusa",
        "update",
        "payment",
        None,
        "the edit has let go of the hold and of the payment; Medusa cancels both a second time",
    ),
)

ORDERS: dict[str, dict[str, Any]] = {
    "a guest's, one line": {},
    "a customer's, two lines": {"customer": CUSTOMER, "skus": STOCKED, "quantity": 2},
    "with a promotion": {"promotion": PROMOTION, "skus": STOCKED},
    "some without stock": {"skus": (*STOCKED[:1], UNSTOCKED)},
    "in yen": {"region": "jpy", "quantity": 3},
    "in dinar of three decimals": {"region": "kwd"},
    "paid outside Stripe": {"provider": "system"},
}


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
async def test_a_cancel_changes_the_rows_that_medusa_changes(
    medusa: Medusa, sidecar: Sidecar, shop_db: Connection, order: dict[str, Any]
) -> None:
    place = partial(medusa.place_order, **order)
    theirs, medusas = await watched(shop_db, place, partial(cancel_by_medusa, medusa))
    mine, ours = await watched(shop_db, place, partial(cancel_by_us, sidecar, shop_db))

    explained = _explained(order.get("provider", "stripe")) + (PROMOTED if "promotion" in order else ())
    assert_explained(compare(medusas, ours), explained)
    assert await _as_shown(medusa, mine.id) == await _as_shown(medusa, theirs.id)


@pytest.mark.parametrize("quantity", [3, 1], ids=["to more", "to fewer"])
async def test_an_order_that_was_edited_is_canceled_as_it_stands_now(
    medusa: Medusa, sidecar: Sidecar, shop_db: Connection, quantity: int
) -> None:
    async def place() -> Placed:
        placed = await medusa.place_order(quantity=2)
        await medusa.edit(placed, quantity)
        return placed

    theirs, medusas = await watched(shop_db, place, partial(cancel_by_medusa, medusa))
    mine, ours = await watched(shop_db, place, partial(cancel_by_us, sidecar, shop_db))

    assert_explained(compare(medusas, ours), EXPLAINED + EDITED)
    assert await _as_shown(medusa, mine.id) == await _as_shown(medusa, theirs.id)


async def test_where_medusa_keeps_its_locks_in_memory_it_releases_the_stock_itself(
    medusa: Medusa, sidecars: Sidecars, shop_db: Connection
) -> None:
    sidecar = sidecars.use(PATIENT | {"MEDUSA_LOCKING": "memory"})
    place = partial(medusa.place_order, skus=STOCKED, quantity=2)

    _, medusas = await watched(shop_db, place, partial(cancel_by_medusa, medusa))
    _, ours = await watched(shop_db, place, partial(cancel_by_us, sidecar, shop_db))

    assert_explained(compare(medusas, ours), _explained())


def _explained(provider: str = "stripe") -> tuple[Explained, ...]:
    """By the release under test: an explanation of nothing fails."""
    return EXPLAINED + (BEFORE_2_15 if provider == "stripe" and chosen_version() < (2, 15) else ())


async def _as_shown(medusa: Medusa, order_id: str) -> dict[str, Any]:
    """What the admin's pages and a storefront's account page go by."""
    order = await medusa.order(order_id, "+canceled_at,*payment_collections.payments")
    collections = [
        (collection["status"], collection["amount"], _payments(collection["payments"]))
        for collection in order["payment_collections"]
    ]
    shown = {name: order[name] for name in ("status", "payment_status", "fulfillment_status", "total")}
    shown |= {name: order["summary"][name] for name in ("current_order_total", "pending_difference")}
    return shown | {"canceled": order["canceled_at"] is not None, "collections": sorted(collections, key=str)}


def _payments(payments: list[dict[str, Any]]) -> list[tuple[bool, bool]]:
    return [(payment["canceled_at"] is not None, payment["captured_at"] is not None) for payment in payments]
