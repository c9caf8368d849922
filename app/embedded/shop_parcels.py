"""Parcels as Medusa packs and unpacks them, and the reservations that end with them."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from app.embedded.shop import PlacedOrder
from app.embedded.shop_rows import add_change, insert, move_stock, new_id, next_version, now_ms, twins

if TYPE_CHECKING:
    from app.embedded.shop_rows import Connection


async def fulfill(conn: Connection, order: PlacedOrder) -> str:
    """Pack all of an order: the stock leaves, the reservations end, the version rises. Gives the fulfillment's id."""
    moment = now_ms()
    stamps = {"created_at": moment, "updated_at": moment}
    fulfillment_id = new_id("ful", moment)
    async with conn.transaction():
        parcel = {"id": fulfillment_id, "location_id": order.location_id, "packed_at": moment, "data": {}}
        await insert(
            conn, "fulfillment", {**parcel, "provider_id": "manual_manual", "requires_shipping": True, **stamps}
        )
        link = {"order_id": order.id, "fulfillment_id": fulfillment_id, "id": new_id("ordful", moment)}
        await insert(conn, "order_fulfillment", {**link, **stamps})
        for line_item_id, quantity in await _quantities(conn, order):
            item_id = await conn.fetchval(
                "SELECT inventory_item_id FROM reservation_item WHERE line_item_id = $1 AND deleted_at IS NULL",
                line_item_id,
            )
            packed = {"id": new_id("fulit", moment), "title": "M", "sku": "SHIRT-M", "barcode": ""}
            packed |= {"line_item_id": line_item_id, "inventory_item_id": item_id, "fulfillment_id": fulfillment_id}
            await insert(conn, "fulfillment_item", {**packed, **twins(quantity=quantity), **stamps})
            if item_id is not None:
                await move_stock(conn, item_id, order.location_id, reserved=Decimal(0), stocked=-quantity)
        await release(conn, order, moment)
        await _change_parcel(conn, order, fulfillment_id, moment, action="FULFILL_ITEM", fulfilled=True)
    return fulfillment_id


async def cancel_fulfillment(conn: Connection, order: PlacedOrder, fulfillment_id: str) -> None:
    """Unpack: the stock comes back, with new reservations, and the version rises again."""
    moment = now_ms()
    async with conn.transaction():
        packed = await conn.fetch(
            "SELECT line_item_id, inventory_item_id, quantity FROM fulfillment_item "
            "WHERE fulfillment_id = $1 AND inventory_item_id IS NOT NULL",
            fulfillment_id,
        )
        for item in packed:
            reservation = {
                "id": new_id("resitem", moment),
                "line_item_id": item["line_item_id"],
                "location_id": order.location_id,
                "inventory_item_id": item["inventory_item_id"],
                "allow_backorder": False,
                **twins(quantity=item["quantity"]),
                "created_at": moment,
                "updated_at": moment,
            }
            await insert(conn, "reservation_item", reservation)
            quantity = item["quantity"]
            await move_stock(conn, item["inventory_item_id"], order.location_id, reserved=quantity, stocked=quantity)
        await _change_parcel(conn, order, fulfillment_id, moment, action="CANCEL_ITEM_FULFILLMENT", fulfilled=False)
        await conn.execute(
            "UPDATE fulfillment SET canceled_at = $2, updated_at = $2 WHERE id = $1", fulfillment_id, moment
        )


async def release(conn: Connection, order: PlacedOrder, moment: datetime) -> None:
    """End the order's reservations and take them off the levels."""
    released = await conn.fetch(
        "UPDATE reservation_item SET deleted_at = $2, updated_at = $2 "
        "WHERE line_item_id = ANY($1) AND deleted_at IS NULL RETURNING inventory_item_id, location_id, quantity",
        order.line_item_ids,
        moment,
    )
    for row in released:
        await move_stock(conn, row["inventory_item_id"], row["location_id"], reserved=-row["quantity"])


async def _quantities(conn: Connection, order: PlacedOrder) -> list[tuple[str, Decimal]]:
    rows = await conn.fetch(
        'SELECT i.item_id, i.quantity FROM order_item i JOIN "order" o ON o.id = i.order_id AND o.version = i.version '
        "WHERE o.id = $1 AND i.deleted_at IS NULL ORDER BY i.item_id",
        order.id,
    )
    return [(row["item_id"], row["quantity"]) for row in rows]


async def _change_parcel(
    conn: Connection, order: PlacedOrder, fulfillment_id: str, moment: datetime, *, action: str, fulfilled: bool
) -> None:
    version = await next_version(conn, order.id, moment, fulfilled=fulfilled)
    actions = [
        {
            "action": action,
            "reference": "fulfillment",
            "reference_id": fulfillment_id,
            "details": {"quantity": int(quantity) if fulfilled else str(quantity), "reference_id": line_item_id},
        }
        for line_item_id, quantity in await _quantities(conn, order)
    ]
    await add_change(conn, order.id, moment, version=version, status="confirmed", change_type=None, actions=actions)
