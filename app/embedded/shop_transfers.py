"""How an order comes to another customer or another address in Medusa, as the rows it leaves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from app.embedded.shop import PlacedOrder
from app.embedded.shop_acts import open_order_change
from app.embedded.shop_rows import add_change, insert, next_version, now_ms

if TYPE_CHECKING:
    from app.embedded.shop_rows import Connection


async def request_transfer(
    conn: Connection, order: PlacedOrder, *, status: Literal["pending", "requested"] = "requested"
) -> str:
    """Ask for the order as another registered customer; ``pending`` is before Medusa's last step. The change's id."""
    moment = now_ms()
    async with conn.transaction():
        change = await open_order_change(conn, order, change_type="transfer", status=status)
        customer: str = await conn.fetchval(
            "SELECT reference_id FROM order_change_action WHERE order_change_id = $1", change
        )
        row = {"id": customer, "email": f"{customer.lower()}@shoppers.test", "has_account": True}
        await insert(conn, "customer", {**row, "created_at": moment, "updated_at": moment})
        await conn.execute(
            "UPDATE order_change SET created_by = $2, requested_by = CASE WHEN status = 'requested' THEN $2 END "
            "WHERE id = $1",
            change,
            customer,
        )
    return change


async def accept_transfer(conn: Connection, order: PlacedOrder, change: str) -> str:
    """Accept with the token of the request: the order is another customer's. Gives that customer's id."""
    moment = now_ms()
    async with conn.transaction():
        customer: str = await conn.fetchval(
            "UPDATE order_change_action SET applied = true, updated_at = $2 WHERE order_change_id = $1 "
            "RETURNING reference_id",
            change,
            moment,
        )
        await conn.execute(
            "UPDATE order_change SET status = 'confirmed', confirmed_at = $2, updated_at = $2 WHERE id = $1",
            change,
            moment,
        )
        await next_version(conn, order.id, moment)
        await conn.execute('UPDATE "order" SET customer_id = $2 WHERE id = $1', order.id, customer)
    return customer


async def change_email(conn: Connection, order: PlacedOrder, email: str) -> str:
    """Give the order another address in Medusa's admin; the customer stays. Gives the change's id."""
    moment = now_ms()
    async with conn.transaction():
        before = await conn.fetchval('SELECT email FROM "order" WHERE id = $1', order.id)
        version = await conn.fetchval('SELECT version FROM "order" WHERE id = $1', order.id)
        await conn.execute('UPDATE "order" SET email = $2, updated_at = $3 WHERE id = $1', order.id, email, moment)
        return await add_change(
            conn,
            order.id,
            moment,
            version=version,
            status="confirmed",
            change_type="update_order",
            actions=[
                {
                    "action": "UPDATE_ORDER_PROPERTIES",
                    "details": {"type": "email", "old": before, "new": email},
                }
            ],
        )
