"""What Medusa itself does to an order, as the rows it leaves: captures, refunds, cancels and edits."""

from __future__ import annotations

import json
import uuid
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

from app.embedded.shop import PlacedOrder
from app.embedded.shop_parcels import release
from app.embedded.shop_rows import (
    add_change,
    add_transaction,
    insert,
    new_id,
    next_version,
    now_ms,
    raw,
    reaches,
    twins,
)

if TYPE_CHECKING:
    from app.embedded.shop_rows import Connection


class MedusaRefusedError(Exception):
    """Medusa would have answered 400 and written nothing."""


async def capture_by_medusa(
    conn: Connection, order: PlacedOrder, payment_id: str, amount: Decimal | None = None, *, in_flight: bool = False
) -> str:
    """Capture, in full where no amount is said, and give the capture's id.

    ``in_flight`` stops where Medusa has not called Stripe yet: a capture row and nothing else. ``settle_capture``
    and ``drop_capture`` are the two ways on from there.
    """
    moment = now_ms()
    payment = await conn.fetchrow("SELECT amount, canceled_at FROM payment WHERE id = $1", payment_id)
    if payment is None or payment["canceled_at"] is not None:
        raise MedusaRefusedError(f"The payment: {payment_id} has been canceled.")
    capture_id = new_id("capt", moment)
    row = {"id": capture_id, "payment_id": payment_id, "created_by": _admin(moment)}
    row |= twins(amount=payment["amount"] if amount is None else amount)
    async with conn.transaction():
        # As Medusa: the lock is not held while Stripe is called, and canceled_at is not read again under it.
        await conn.execute("SET LOCAL lock_timeout = '3s'")
        await conn.execute("SELECT id FROM payment WHERE id = $1 FOR UPDATE", payment_id)
        await insert(conn, "capture", {**row, "created_at": moment, "updated_at": moment})
    if not in_flight:
        await settle_capture(conn, order, capture_id)
    return capture_id


async def settle_capture(conn: Connection, order: PlacedOrder, capture_id: str) -> None:
    """What Medusa writes once Stripe has captured."""
    moment = now_ms()
    async with conn.transaction():
        payment = await conn.fetchrow(
            "SELECT p.id, p.amount, p.payment_collection_id, c.amount AS taken, sums.captured "
            "FROM capture c JOIN payment p ON p.id = c.payment_id, "
            "LATERAL (SELECT sum(amount) AS captured FROM capture WHERE payment_id = p.id AND deleted_at IS NULL) sums "
            "WHERE c.id = $1",
            capture_id,
        )
        if payment is None:
            raise LookupError(capture_id)
        full = reaches(payment["captured"], payment["amount"], order.currency)
        await conn.execute(
            "UPDATE payment SET captured_at = CASE WHEN $2 THEN $3 ELSE captured_at END, updated_at = $3 WHERE id = $1",
            payment["id"],
            full,
            moment,
        )
        await _set_intent(conn, payment["id"], status="succeeded")
        await _sum_up(conn, payment["payment_collection_id"], order.currency, moment)
        await add_transaction(conn, order.id, payment["taken"], "capture", capture_id, moment)


async def drop_capture(conn: Connection, capture_id: str) -> None:
    """What Medusa does when Stripe has refused: the row is deleted, not marked."""
    await conn.execute("DELETE FROM capture WHERE id = $1", capture_id)


async def refund_by_medusa(conn: Connection, order: PlacedOrder, payment_id: str, amount: Decimal | None = None) -> str:
    """Refund, by default all that is captured and not refunded yet, and give the refund's id."""
    moment = now_ms()
    async with conn.transaction():
        refund_id, given = await _refund(conn, order, payment_id, amount, moment)
        overpaid = await conn.fetchval(
            "SELECT greatest(-(s.totals -> 'raw_pending_difference' ->> 'value')::numeric, 0) FROM order_summary s "
            'JOIN "order" o ON o.id = s.order_id AND o.version = s.version WHERE o.id = $1',
            order.id,
        )
        await add_transaction(conn, order.id, -given, "refund", refund_id, moment)
        if given > overpaid:
            await _credit(conn, order, given - overpaid, moment)
    return refund_id


async def add_credit_line(conn: Connection, order: PlacedOrder, amount: Decimal) -> None:
    """What ``POST /admin/orders/:id/credit-lines`` does: the order owes so much less, its payments stay as they are."""
    async with conn.transaction():
        await _credit(conn, order, amount, now_ms())


async def cancel_by_medusa(conn: Connection, order: PlacedOrder, *, void_succeeded: bool = True) -> None:
    """Cancel as Medusa's admin does: captured payments are refunded, the others voided.

    Medusa swallows a void that Stripe did not take; ``void_succeeded=False`` leaves the rows of that.
    """
    moment = now_ms()
    if await conn.fetchval('SELECT status FROM "order" WHERE id = $1', order.id) in ("canceled", "completed"):
        raise MedusaRefusedError(f"Order with id {order.id} has been canceled or completed.")
    async with conn.transaction():
        credit = Decimal(0)
        for payment_id in order.payment_ids:
            if await conn.fetchval(
                "SELECT count(*) FROM capture WHERE payment_id = $1 AND deleted_at IS NULL", payment_id
            ):
                _, given = await _refund(conn, order, payment_id, None, moment)
                if given:
                    # The payment's id, where a refund by hand has the refund's.
                    await add_transaction(conn, order.id, -given, "refund", payment_id, moment)
                credit += given
            elif void_succeeded:
                await conn.execute(
                    "UPDATE payment SET canceled_at = $2, updated_at = $2 WHERE id = $1", payment_id, moment
                )
                await _set_intent(conn, payment_id, status="canceled", canceled_at=int(moment.timestamp()))
        await release(conn, order, moment)
        await _credit(conn, order, credit, moment)
        await conn.execute(
            "UPDATE payment_collection SET status = 'canceled', updated_at = $2 WHERE id = ANY($1)",
            order.collection_ids,
            moment,
        )
        await _set_order(conn, order, moment, status="canceled", canceled_at=moment)


async def open_order_change(
    conn: Connection,
    order: PlacedOrder,
    *,
    change_type: Literal["edit", "transfer"] = "edit",
    status: Literal["pending", "requested"] = "pending",
) -> str:
    """Begin an edit, or ask for a transfer to another customer. Gives the change's id."""
    moment = now_ms()
    transfer = {
        "action": "TRANSFER_CUSTOMER",
        "reference": "customer",
        "reference_id": new_id("cus", moment),
        "details": {"token": str(uuid.uuid4()), "original_email": order.email},
    }
    async with conn.transaction():
        version = await conn.fetchval('SELECT version FROM "order" WHERE id = $1', order.id)
        return await add_change(
            conn,
            order.id,
            moment,
            version=version + 1,
            status=status,
            change_type=change_type,
            actions=[transfer] if change_type == "transfer" else [],
        )


async def complete(conn: Connection, order: PlacedOrder) -> None:
    """Mark the order completed."""
    await _set_order(conn, order, now_ms(), status="completed")


async def archive(conn: Connection, order: PlacedOrder) -> None:
    """Archive the order, which Medusa allows once it is completed or canceled."""
    await _set_order(conn, order, now_ms(), status="archived")


async def soft_delete(conn: Connection, order: PlacedOrder) -> None:
    """Mark the order deleted."""
    moment = now_ms()
    await _set_order(conn, order, moment, deleted_at=moment)


def _admin(moment: datetime) -> str:
    return new_id("user", moment)


async def _set_order(conn: Connection, order: PlacedOrder, moment: datetime, **columns: Any) -> None:
    status, canceled_at, deleted_at = (columns.get(name) for name in ("status", "canceled_at", "deleted_at"))
    await conn.execute(
        'UPDATE "order" SET status = coalesce($2::order_status_enum, status), canceled_at = coalesce($3, canceled_at), '
        "deleted_at = coalesce($4, deleted_at), updated_at = $5 WHERE id = $1",
        order.id,
        status,
        canceled_at,
        deleted_at,
        moment,
    )


async def _set_intent(conn: Connection, payment_id: str, **changes: Any) -> None:
    """Medusa keeps Stripe's last answer, in which nothing is expanded; the system provider has none."""
    data = json.loads(await conn.fetchval("SELECT coalesce(data, '{}')::text FROM payment WHERE id = $1", payment_id))
    if "id" not in data:
        return
    if changes["status"] == "succeeded":
        changes["amount_received"] = data.get("amount")  # all of it, whatever sum Medusa was asked for
    if isinstance(data.get("payment_method"), dict):
        changes["payment_method"] = data["payment_method"]["id"]
    data |= {"amount_capturable": 0, **changes}
    await conn.execute("UPDATE payment SET data = $2::text::jsonb WHERE id = $1", payment_id, json.dumps(data))


async def _sum_up(conn: Connection, collection_id: str, currency: str, moment: datetime) -> None:
    """The collection's amounts anew; complete, and completed again at each change, once all of it is captured."""
    row = await conn.fetchrow(
        "SELECT amount, "
        "(SELECT coalesce(sum(c.amount), 0) FROM capture c JOIN payment p ON p.id = c.payment_id "
        " WHERE p.payment_collection_id = pc.id AND c.deleted_at IS NULL) AS captured, "
        "(SELECT coalesce(sum(r.amount), 0) FROM refund r JOIN payment p ON p.id = r.payment_id "
        " WHERE p.payment_collection_id = pc.id AND r.deleted_at IS NULL) AS refunded "
        "FROM payment_collection pc WHERE id = $1",
        collection_id,
    )
    if row is None:
        raise LookupError(collection_id)
    await conn.execute(
        "UPDATE payment_collection SET captured_amount = $2, raw_captured_amount = $3::text::jsonb, "
        "refunded_amount = $4, raw_refunded_amount = $5::text::jsonb, "
        "status = CASE WHEN $6 THEN 'completed' ELSE status END, "
        "completed_at = CASE WHEN $6 THEN $7 ELSE completed_at END, updated_at = $7 WHERE id = $1",
        collection_id,
        row["captured"],
        json.dumps(raw(row["captured"])),
        row["refunded"],
        json.dumps(raw(row["refunded"])),
        reaches(row["captured"], row["amount"], currency),
        moment,
    )


async def _refund(
    conn: Connection, order: PlacedOrder, payment_id: str, amount: Decimal | None, moment: datetime
) -> tuple[str, Decimal]:
    if amount is None:
        amount = await conn.fetchval(
            "SELECT (SELECT coalesce(sum(amount), 0) FROM capture WHERE payment_id = $1 AND deleted_at IS NULL) "
            "- (SELECT coalesce(sum(amount), 0) FROM refund WHERE payment_id = $1 AND deleted_at IS NULL)",
            payment_id,
        )
    refund_id = new_id("ref", moment)
    if amount:
        row = {"id": refund_id, "payment_id": payment_id, **twins(amount=amount), "created_by": _admin(moment)}
        await insert(conn, "refund", {**row, "created_at": moment, "updated_at": moment})
        collection_id = await conn.fetchval("SELECT payment_collection_id FROM payment WHERE id = $1", payment_id)
        await _sum_up(conn, collection_id, order.currency, moment)
    return refund_id, amount


async def _credit(conn: Connection, order: PlacedOrder, amount: Decimal, moment: datetime) -> None:
    """A credit line, even of nothing, is a confirmed change and a new version."""
    collection_id = order.collection_ids[0]
    version = await next_version(conn, order.id, moment, credit=amount, collection_id=collection_id)
    action = {"action": "CREDIT_LINE_ADD", "reference": "payment_collection", "reference_id": collection_id}
    await add_change(
        conn,
        order.id,
        moment,
        version=version,
        status="confirmed",
        change_type="credit_line",
        actions=[{**action, **twins(amount=amount)}],
    )
