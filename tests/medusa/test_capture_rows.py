"""After our capture the shop's tables say what they say after Medusa's own, save for what is explained here."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from .differences import Explained, assert_explained, compare
from .orders import Medusa, Placed
from .packages import chosen_version
from .seed import PROMOTION, STOCKED
from .sidecar import Sidecar
from .stripe import money_at_stripe
from .twins import Connection, captured, watched

pytestmark = pytest.mark.medusa

EXPLAINED = (
    Explained(
        "both",
        "insert",
        "capture",
        "created_by",
        "nobody of the shop's users did it; Medusa names the admin, since 2.21",
    ),
)
ORDERS: dict[str, dict[str, Any]] = {
    "in euro, two lines and a promotion": {"skus": STOCKED, "promotion": PROMOTION},
    "in yen": {"region": "jpy"},
    "in dinar of three decimals": {"region": "kwd"},
}


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
async def test_a_capture_changes_the_rows_that_medusa_changes(
    medusa: Medusa, hasty_sidecar: Sidecar, shop_db: Connection, order: dict[str, Any]
) -> None:
    async def capture(placed: Placed) -> None:
        await medusa.admin_post(f"/admin/payments/{placed.payment_id}/capture")

    place = partial(medusa.place_order, **order)
    theirs, medusas = await watched(shop_db, place, capture)
    mine, ours = await watched(shop_db, place, partial(captured, shop_db))

    assert_explained(compare(medusas, ours), EXPLAINED if chosen_version() >= (2, 21) else ())
    status = (await medusa.order(mine.id))["payment_status"]
    assert status == (await medusa.order(theirs.id))["payment_status"] == "captured"
    assert await money_at_stripe(medusa, mine) == await money_at_stripe(medusa, theirs)


async def test_medusa_takes_our_capture_for_its_own(
    medusa: Medusa, hasty_sidecar: Sidecar, shop_db: Connection
) -> None:
    placed = await medusa.place_order()
    await captured(shop_db, placed)
    before = await money_at_stripe(medusa, placed)

    again = await medusa.admin_post(f"/admin/payments/{placed.payment_id}/capture")

    assert len(again["payment"]["captures"]) == 1
    assert await money_at_stripe(medusa, placed) == before


async def test_medusa_can_cancel_and_refund_what_we_captured(
    medusa: Medusa, hasty_sidecar: Sidecar, shop_db: Connection
) -> None:
    placed = await medusa.place_order()
    await captured(shop_db, placed)
    taken = (await money_at_stripe(medusa, placed)).received

    refused = await hasty_sidecar.cancel(placed.id)
    await medusa.admin_post(f"/admin/orders/{placed.id}/cancel")

    assert (refused.status_code, refused.json()["code"]) == (409, "late_cancel")
    assert (await money_at_stripe(medusa, placed)).refunded == taken > 0
    assert (await medusa.order(placed.id))["payment_status"] == "refunded"
