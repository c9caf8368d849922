"""Wait a moment for the outcome of an order's voids."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Final

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


_FIRST_PAUSE: Final = 0.004
_LONGEST_PAUSE: Final = 0.1
"""Seconds between two looks: a void takes milliseconds when all is well, and is waited for without haste when not."""


async def await_void(
    services: Services, order_id: str, at_most: timedelta, *, just_begun: bool = False
) -> PaymentAction:
    """What became of the money of a canceled order, waiting ``at_most`` while it is still open.

    ``just_begun``: the voids were scheduled a moment ago, so that there is nothing to see before a first pause.
    Never raises: the order is canceled whatever becomes of this look, so no answer means "pending".
    """
    deadline = asyncio.get_running_loop().time() + at_most.total_seconds()
    pause = _FIRST_PAUSE
    action = PaymentAction.VOID_PENDING
    while True:
        if not just_begun:
            action = await _look(services, order_id)
        left = deadline - asyncio.get_running_loop().time()
        if action is not PaymentAction.VOID_PENDING or left <= 0:
            return action
        await asyncio.sleep(min(pause, left))
        pause, just_begun = min(pause * 1.3, _LONGEST_PAUSE), False


async def _look(services: Services, order_id: str) -> PaymentAction:
    """The whole picture once there is one; one light question until then."""
    try:
        async with services.db.read("cancel.outcome") as conn:
            if await jobs.void_is_open(conn, order_id):
                return PaymentAction.VOID_PENDING
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
