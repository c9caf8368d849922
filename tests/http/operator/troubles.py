"""Orders that are in trouble."""

from __future__ import annotations

from typing import Any

from app.embedded.shop import PlacedOrder
from app.embedded.shop_acts import cancel_by_medusa, capture_by_medusa
from tests.world import Shop


async def late_money(shop: Shop, **options: Any) -> PlacedOrder:
    """A canceled order whose money was captured, with its incident."""
    order = await shop.place(**options)
    await cancel_by_medusa(shop.conn, order, void_succeeded=False)
    for payment_id in order.payment_ids:
        await capture_by_medusa(shop.conn, order, payment_id)
    await trouble(shop, order, "late_money", f"{order.payment_ids[0]} is captured although the order is canceled")
    return order


async def trouble(shop: Shop, order: PlacedOrder, kind: str, detail: str = "it went wrong") -> int:
    """An open incident."""
    row = await shop.row(
        "insert into grace.incidents (order_id, kind, detail) values ($1, $2, $3) returning id", order.id, kind, detail
    )
    return int(row["id"])


async def failing(shop: Shop, order: PlacedOrder, kind: str, *, error: str = "APIError 500: no", **columns: Any) -> int:
    """A job that fails for a while, with its incident."""
    row = await shop.row(
        "insert into grace.jobs (kind, order_id, subject, state, run_at, failures, failing_since, attempts, last_error,"
        " in_doubt, key_number) values ($1, $2, $3, $4, now() + interval '1 hour', $5, case when $5 > 0 then now() end,"
        " 4, $6, $7, 3) returning id",
        kind,
        order.id,
        order.payment_ids[0] if kind != "release" else order.id,
        columns.get("state", "scheduled"),
        columns.get("failures", 4),
        error,
        columns.get("in_doubt", False),
    )
    await trouble(shop, order, f"{kind}_failed", error)
    return int(row["id"])
