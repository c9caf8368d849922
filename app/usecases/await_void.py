"""Wait a moment for the outcome of an order's voids."""

from __future__ import annotations

import asyncio
import contextlib
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
    IncidentKind.PAYMENT_SHARED,
    IncidentKind.REFUND_FAILED,
}


_PAUSE: Final = 0.1
"""Seconds between two looks while no news comes. Where Redis is away, none does."""


async def await_void(
    services: Services, order_id: str, at_most: timedelta, *, just_begun: bool = False
) -> PaymentAction:
    """What became of the money of a canceled order, waiting ``at_most`` while it is still open.

    ``just_begun``: the voids were scheduled a moment ago, so that there is nothing to see before the first news.
    Never raises: the order is canceled whatever becomes of this look, so no answer means "pending".
    """
    clock = asyncio.get_running_loop().time
    deadline = clock() + at_most.total_seconds()
    action = PaymentAction.VOID_PENDING
    with services.void_news.awaited(order_id) as news:
        while True:
            if not just_begun:
                told = news.is_set()
                news.clear()
                action = await _look(services, order_id, at_all_of_it=told)
            if action is not PaymentAction.VOID_PENDING or clock() >= deadline:
                return action
            just_begun = False
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(min(clock() + _PAUSE, deadline)):
                    await news.wait()


async def _look(services: Services, order_id: str, *, at_all_of_it: bool) -> PaymentAction:
    """The whole picture once there is one; one light question until then, unless there is news."""
    try:
        async with services.db.read("cancel.outcome") as conn:
            if not at_all_of_it and await jobs.void_is_open(conn, order_id):
                return PaymentAction.VOID_PENDING
            return await read_payment_action(services, conn, order_id)
    except Unavailable:
        return PaymentAction.VOID_PENDING


async def read_payment_action(services: Services, conn: Connection, order_id: str) -> PaymentAction:
    """What is known of the money of a canceled order, now."""
    order = await services.orders.read_order(conn, order_id)
    if order is None:
        return PaymentAction.NONE
    voids = await jobs.of_order(conn, order_id, JobKind.VOID)
    shared = {payment.id for payment in order.payments if order.is_linked_elsewhere(payment)}
    shared |= {session.id for session in order.sessions if order.is_linked_elsewhere(session)}
    for other in order.linked:  # a payment has one void job, whichever of its orders that is of
        voids += [job for job in await jobs.of_order(conn, other.id, JobKind.VOID) if job.subject in shared]
    trouble = bool(await incidents.open_of(conn, order_id) & _MONEY)
    return payment_action(order, voids, trouble=trouble)
