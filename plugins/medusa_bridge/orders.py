"""Orders: reads of one statement each, a cancel and the claim of a job, each a transaction by itself.

A cancel is a compare-and-set: decided from an order that was read without a lock, and written only if, behind its
locks, the order still is as it was read. Where it is not, nothing is written, and the caller reads and decides again.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import astuple

from app.domain.cancellation import NewCancellation
from app.domain.jobs import LEASE, Job, JobRef, job_of
from app.domain.order import Order
from app.domain.receipt import OrderSheet
from app.ports import Connection, KeyRejected, Orders
from plugins.medusa_bridge import order_rows, payments
from plugins.medusa_bridge.providers import ServedProviders
from plugins.medusa_bridge.sqlfile import statement
from plugins.medusa_bridge.storefront import KEY_INVALID, KEY_MISSING

_CLAIM: Final = statement("claim_job")
_CANCEL: Final = statement("cancel_order")
_READ_WITH_KEY: Final = statement("read_with_key")
_ORDER_EXISTS: Final = statement("order_exists")


class MedusaOrders(Orders):
    """Reads orders by one statement each, and writes a cancel and a claim by one each."""

    def __init__(self, served: ServedProviders) -> None:
        self._served = served

    async def lock_order(self, conn: Connection, order_id: str) -> Order | None:
        return self._as_served(await order_rows.read(conn, order_id, lock=True))

    async def read_order(self, conn: Connection, order_id: str) -> Order | None:
        return self._as_served(await order_rows.read(conn, order_id, lock=False))

    async def read_with_key(self, conn: Connection, key: str | None, order_id: str | None) -> Order | None:
        if not key:
            raise KeyRejected(KEY_MISSING)
        if "\x00" in key:
            raise KeyRejected(KEY_INVALID)
        rows = await conn.fetch(_READ_WITH_KEY, key, order_id)
        if not rows[0]["is_valid"]:
            raise KeyRejected(KEY_INVALID)
        return self._as_served(order_rows.order_of(rows) if rows[0]["order_id"] is not None else None)

    async def read_sheet(self, conn: Connection, order_id: str) -> OrderSheet | None:
        return await order_rows.read_sheet(conn, order_id)

    async def order_exists(self, conn: Connection, order_id: str) -> bool:
        return bool(await conn.fetchval(_ORDER_EXISTS, order_id))

    async def cancel_if_unchanged(self, conn: Connection, order: Order, new: NewCancellation) -> bool:
        written: bool = await conn.fetchval(
            _CANCEL,
            order.id,
            order.mark,
            payments.held(order),
            payments.shared_collections(order),
            new.canceled_by,
            new.reason,
            new.request_id,
            new.reason_label,
            [kind.value for kind, _ in new.jobs],
            [subject for _, subject in new.jobs],
            new.traceparent,
            [one.payment_id for one in new.hand_overs],
            [one.order_id for one in new.hand_overs],
            [one.due for one in new.hand_overs],
        )
        return written

    async def take_with_order(self, conn: Connection, ref: JobRef) -> tuple[Job, Order | None] | None:
        rows = await conn.fetch(_CLAIM, *astuple(ref), LEASE)
        if not rows:
            return None
        job = job_of({**rows[0], "id": rows[0]["job_id"], "order_id": rows[0]["job_order_id"]})
        return job, self._as_served(order_rows.order_of(rows) if rows[0]["order_id"] is not None else None)

    def _as_served(self, order: Order | None) -> Order | None:
        return None if order is None else self._served.order(order)
