"""Look again at orders that were canceled or captured a moment ago: Medusa may have been at work on them too."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Final

from app.domain.incidents import IncidentKind
from app.domain.jobs import JobKind
from app.domain.order import Order, OrderState
from app.ports import Connection, Services
from app.store import cancellations, incidents, jobs
from app.usecases.one_by_one import one_by_one
from app.usecases.settle_canceled import settle_canceled

LOOK_BACK: Final = timedelta(minutes=10)
"""Far longer than any request of Medusa's may take that read the order before it was canceled."""


async def recheck_canceled(services: Services) -> int:
    """Settle canceled orders that were captured, fulfilled or reserved for all the same. How many.

    Medusa's capture reads ``canceled_at`` before it waits for the payment's row lock, its fulfillment takes no lock
    at all, and its checkout reserves stock after it made the order: each can end after a cancel that it never saw.
    """
    async with services.db.transaction("recheck.list") as conn:
        recent = await cancellations.since(conn, LOOK_BACK)
        touched = await services.reconciliation.touched_after_cancel(conn, recent)
    await one_by_one(services, "recheck", touched, partial(_recheck, services))
    return len(touched)


async def _recheck(services: Services, conn: Connection, order: Order) -> None:
    if order.state is OrderState.CANCELED:
        await settle_canceled(services, conn, order)
        await raise_fulfilled(conn, order)
        if await services.inventory.reservations(conn, order.id):
            await jobs.again(conn, JobKind.RELEASE, order.id, order.id)


async def raise_fulfilled(conn: Connection, order: Order) -> None:
    """A canceled order is being fulfilled: somebody must stop the parcel."""
    if order.live_fulfillments:
        detail = f"{order.live_fulfillments} fulfillment(s) of a canceled order"
        await incidents.open_(conn, order.id, IncidentKind.FULFILLED, detail)
