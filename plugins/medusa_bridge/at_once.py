"""A cancel, and the claim of a job: each in one statement, a transaction by itself.

A cancel is a compare-and-set: decided from an order that was read without a lock, and written only if, behind its
locks, the order still is as it was read. Where it is not, nothing is written, and the caller reads and decides again.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import astuple

from app.domain.cancellation import NewCancellation
from app.domain.jobs import LEASE, Job, JobRef
from app.domain.order import Order
from app.ports import Connection
from app.store import jobs
from plugins.medusa_bridge import orders, payments
from plugins.medusa_bridge.sqlfile import statement

_CLAIM: Final = statement("claim_job")
_CANCEL: Final = statement("cancel_order")


async def take_with_order(conn: Connection, ref: JobRef) -> tuple[Job, Order | None] | None:
    """See ``app.ports.Commerce``."""
    rows = await conn.fetch(_CLAIM, *astuple(ref), LEASE)
    if not rows:
        return None
    job = jobs.job_of({**rows[0], "id": rows[0]["job_id"], "order_id": rows[0]["job_order_id"]})
    return job, orders.order_of(rows) if rows[0]["order_id"] is not None else None


async def cancel_if_unchanged(conn: Connection, order: Order, new: NewCancellation) -> bool:
    """See ``app.ports.Commerce``."""
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
