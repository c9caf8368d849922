"""Wait a moment for the outcome of an order's voids."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from app.domain.cancellation import PaymentAction, payment_action
from app.domain.incidents import IncidentKind
from app.domain.jobs import JobKind
from app.ports import Connection, Services, Unavailable
from app.store import incidents, jobs

_MONEY = {
    IncidentKind.VOID_FAILED,
    IncidentKind.UNSUPPORTED_PROVIDER,
    IncidentKind.LATE_MONEY,
    IncidentKind.REFUND_FAILED,
}


async def await_void(services: Services, order_id: str, at_most: timedelta) -> PaymentAction:
    """What became of the money of a canceled order, waiting ``at_most`` while it is still open.

    Never raises: the order is canceled whatever becomes of this look, so no answer means "pending".
    """
    deadline = asyncio.get_running_loop().time() + at_most.total_seconds()
    pause = 0.01
    while True:
        action = await _look(services, order_id)
        left = deadline - asyncio.get_running_loop().time()
        if action is not PaymentAction.VOID_PENDING or left <= 0:
            return action
        await asyncio.sleep(min(pause, left))
        pause = min(pause * 1.5, 0.2)


async def _look(services: Services, order_id: str) -> PaymentAction:
    try:
        async with services.db.transaction("cancel.outcome") as conn:
            return await read_payment_action(services, conn, order_id)
    except Unavailable:
        return PaymentAction.VOID_PENDING


async def read_payment_action(services: Services, conn: Connection, order_id: str) -> PaymentAction:
    """What is known of the money of a canceled order, now."""
    order = await services.commerce.read_order(conn, order_id)
    if order is None:
        return PaymentAction.NONE
    voids = await jobs.of_order(conn, order_id, JobKind.VOID)
    trouble = bool(await incidents.open_of(conn, order_id) & _MONEY)
    return payment_action(order, voids, trouble=trouble)
