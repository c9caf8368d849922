"""Payment sessions as Medusa keeps them: deferred ones, the payments it makes of them, and those of a cart alone."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec

from app.embedded.shop import STRIPE, PlacedOrder
from app.embedded.shop_acts import capture_by_medusa
from app.embedded.shop_rows import insert, new_id, now_ms, twins

if TYPE_CHECKING:
    from app.embedded.shop_rows import Connection


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """The ids of a payment session and of the collection it is in."""

    id: str
    collection_id: str
    intent_id: str


async def open_session(
    conn: Connection,
    order: PlacedOrder,
    intent: dict[str, Any],
    *,
    amount: Decimal,
    status: str = "pending_authorization",
    provider_id: str = STRIPE,
    collection_id: str | None = None,
    through_cart: bool = False,
) -> Session:
    """A session for ``intent`` without a payment, in a collection of its own where none is named.

    ``through_cart`` links that collection to the order's cart and not to the order, as marketplaces leave it.
    """
    moment = now_ms()
    stamps = {"created_at": moment, "updated_at": moment}
    async with conn.transaction():
        if collection_id is None:
            collection_id = new_id("pay_col", moment)
            nothing = Decimal(0)
            sums = twins(amount=amount, authorized_amount=nothing, captured_amount=nothing, refunded_amount=nothing)
            row = {"id": collection_id, "currency_code": order.currency, "status": "awaiting", **sums, **stamps}
            await insert(conn, "payment_collection", row)
            if through_cart:
                cart_id = await conn.fetchval("SELECT cart_id FROM order_cart WHERE order_id = $1", order.id)
                link = {"cart_id": cart_id, "payment_collection_id": collection_id, "id": new_id("capaycol", moment)}
                await insert(conn, "cart_payment_collection", {**link, **stamps})
            else:
                link = {"order_id": order.id, "payment_collection_id": collection_id, "id": new_id("ordpay", moment)}
                await insert(conn, "order_payment_collection", {**link, **stamps})
        session_id = new_id("payses", moment)
        session = {
            "id": session_id,
            **twins(amount=amount),
            "currency_code": order.currency,
            "provider_id": provider_id,
            "data": intent,
            "payment_collection_id": collection_id,
            "status": status,
            "context": {},
            "metadata": {},
            **stamps,
        }
        await insert(conn, "payment_session", session)
    return Session(id=session_id, collection_id=collection_id, intent_id=intent["id"])


async def share_collection(conn: Connection, order: PlacedOrder, other: PlacedOrder) -> None:
    """Link ``order`` to the payment collection of ``other`` too, as marketplaces do that split a cart's order."""
    moment = now_ms()
    link = {"order_id": order.id, "payment_collection_id": other.collection_ids[0], "id": new_id("ordpay", moment)}
    await insert(conn, "order_payment_collection", {**link, "created_at": moment, "updated_at": moment})


async def book_session(
    conn: Connection, order: PlacedOrder, session: Session, intent: dict[str, Any], *, captured: bool = False
) -> PlacedOrder:
    """Make the session's payment, as Medusa's webhook does, held or captured. Gives the order with that payment."""
    moment = now_ms()
    payment_id = new_id("pay", moment)
    async with conn.transaction():
        row = await conn.fetchrow(
            "UPDATE payment_session SET status = 'authorized', authorized_at = $2, updated_at = $2 WHERE id = $1 "
            "RETURNING amount, currency_code, provider_id",
            session.id,
            moment,
        )
        assert row is not None
        payment = {
            "id": payment_id,
            **twins(amount=row["amount"]),
            "currency_code": row["currency_code"],
            "provider_id": row["provider_id"],
            "data": intent,
            "payment_collection_id": session.collection_id,
            "payment_session_id": session.id,
            "created_at": moment,
            "updated_at": moment,
        }
        await insert(conn, "payment", payment)
    booked = replace(
        order,
        payment_ids=(*order.payment_ids, payment_id),
        session_ids=(*order.session_ids, session.id),
        collection_ids=(*order.collection_ids, session.collection_id),
        intent_ids=(*order.intent_ids, session.intent_id),
    )
    if captured:
        await capture_by_medusa(conn, booked, payment_id)
    return booked
