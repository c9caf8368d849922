"""One order with all that happened to it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from app.domain.cancellation import PaymentAction
from app.domain.receipt import CancellationRecord
from app.domain.risk import SeenOrder
from app.domain.timeline import Event, JobRow
from app.ports import Services
from app.store import cancellations, events, incidents, jobs
from app.usecases.await_void import read_payment_action
from app.usecases.list_incidents import Listed, with_money


class OrderStory(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of an order. ``order`` is ``None`` when the shop has lost it and only our rows are left."""

    order_id: str
    order: SeenOrder | None
    cancellation: CancellationRecord | None
    payment_action: PaymentAction
    incidents: Sequence[Listed]
    """Open ones first, then those of the last week."""
    jobs: Sequence[JobRow]
    events: Sequence[Event]
    """Newest first."""


async def order_timeline(services: Services, order_id: str) -> OrderStory | None:
    """The order, its incidents, jobs and events; ``None`` when neither the shop nor we know it."""
    async with services.db.transaction("operator.order") as conn:
        order = (await services.back_office.see_orders(conn, [order_id])).get(order_id)
        told = await events.of_order(conn, order_id)
        work = await jobs.all_of(conn, order_id)
        if order is None and not told and not work:
            return None
        seen = await incidents.listed(conn, open_only=True, order_id=order_id)
        seen += await incidents.listed(conn, open_only=False, order_id=order_id, limit=20)
        return OrderStory(
            order_id=order_id,
            order=order,
            cancellation=await cancellations.read(conn, order_id),
            payment_action=await read_payment_action(services, conn, order_id),
            incidents=await with_money(conn, services.back_office, seen),
            jobs=work,
            events=told,
        )
