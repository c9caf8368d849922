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
from app.store import cancellations, jobs
from app.store.functions import Function, named
from app.store.sql import statement as of_store
from plugins.medusa_bridge import orders, payments
from plugins.medusa_bridge.sqlfile import statement

_LOCK_ROW, _LOCK_PAYMENTS = statement("lock_order_row"), statement("lock_payment_rows")

TAKE_WITH_ORDER: Final = Function.of(
    "take_with_order",
    statement("functions/take_with_order"),
    {
        "lock_order_row": named(_LOCK_ROW, "the_order"),
        "lock_payment_rows": named(_LOCK_PAYMENTS, "the_order"),
        "take_job": named(
            of_store("take_job"), "the_installation", "the_job", "the_kind", "the_order", "the_generation", "the_lease"
        ),
    },
)
CANCEL_IF_UNCHANGED: Final = Function.of(
    "cancel_if_unchanged",
    statement("functions/cancel_if_unchanged"),
    {
        "lock_order": orders.LOCK_ORDER.name,
        "cancel_order": named(statement("cancel_order"), "the_order", "the_held", "the_shared"),
        "write_cancellation": named(
            cancellations.WRITE,
            "the_order",
            "the_actor",
            "the_reason",
            "the_request",
            "the_label",
            "the_kinds",
            "the_subjects",
            "the_trace",
        ),
        "hand_over_captures": named(
            of_store("hand_over_captures"),
            "the_order",
            "the_captures",
            "the_heirs",
            "the_dues",
            "the_request",
            "the_trace",
        ),
    },
)

# By the job's own order id, so that the order is read after the job was taken, and not at all for a stale message.
_TAKE: Final = (
    f"select j.*, o.* from {TAKE_WITH_ORDER.name}($1, $2, $3, $4, $5, $6) as j "  # noqa: S608 - names of ours
    f"left join lateral {orders.LOCK_ORDER.name}(j.job_order_id) as o on true"
)
_CANCEL: Final = f"select {CANCEL_IF_UNCHANGED.name}({', '.join(f'${n}' for n in range(1, 15))})"


async def take_with_order(conn: Connection, ref: JobRef) -> tuple[Job, Order | None] | None:
    """See ``app.ports.Commerce``."""
    rows = await conn.fetch(_TAKE, *astuple(ref), LEASE)
    if not rows:
        return None
    job = jobs.job_of({**rows[0], "id": rows[0]["job_id"], "order_id": rows[0]["job_order_id"]})
    return job, orders.order_of(rows) if rows[0]["order_id"] is not None else None


async def cancel_if_unchanged(conn: Connection, order: Order, new: NewCancellation) -> bool:
    """See ``app.ports.Commerce``."""
    order_id, *rest = cancellations.arguments(order.id, new)
    written: bool = await conn.fetchval(
        _CANCEL,
        order_id,
        order.mark,
        payments.held(order),
        payments.shared_collections(order),
        *rest,
        [one.payment_id for one in new.hand_overs],
        [one.order_id for one in new.hand_overs],
        [one.due for one in new.hand_overs],
    )
    return written
