"""Take over orders that Medusa's admin canceled, before our capture or after it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

import structlog

from app.domain.incidents import IncidentKind
from app.domain.jobs import JobKind, JobState
from app.domain.order import Order, OrderState, PaymentState
from app.ports import Connection, Services
from app.store import cursors, incidents, jobs
from app.usecases.find_late_money import find_arrived_money, find_kept_money
from app.usecases.find_overpaid import find_overpaid
from app.usecases.judge_capture import raise_overpaid
from app.usecases.one_by_one import one_by_one
from app.usecases.settle_canceled import settle_canceled

log = structlog.get_logger()

CURSOR: Final = "adopt"
WINDOW: Final = 2_000


async def adopt_canceled(services: Services) -> int:
    """Look at the next ``WINDOW`` captures, at new payments and sessions, and at the next orders; see to those whose
    order is canceled. How many captures' orders there were.

    Medusa's own cancel only logs a void or a refund that failed, and money arrives on canceled orders by ways that are
    never announced. Waiting captures would find out when they are due; the walks over captures and orders find out
    about everything else. An order that was opened again has its captures scheduled again, and an open one that more
    was received for than it owes is named.
    """
    found = await _find_canceled_captures(services)
    late = {*await find_arrived_money(services), *await find_kept_money(services)}.difference(found)
    await one_by_one(services, "adopt", [*found, *sorted(late)], partial(_adopt, services))
    await one_by_one(services, "overpaid", await find_overpaid(services), raise_overpaid)
    return len(found)


async def _find_canceled_captures(services: Services) -> Sequence[str]:
    async with services.db.transaction("adopt.list") as conn:
        await cursors.start(conn, CURSOR, "0")
        position = await cursors.take(conn, CURSOR)
        if position is None:
            return []
        order_ids, reached = await services.reconciliation.orders_canceled_elsewhere(
            conn, after_job=int(position), window=WINDOW
        )
        await cursors.move(conn, CURSOR, str(reached))
    return order_ids


async def _adopt(services: Services, conn: Connection, order: Order) -> None:
    if order.state is not OrderState.CANCELED:
        await _take_up(services, conn, order)
    elif not _being_captured(order):
        await jobs.remove_captures(conn, order.id)
        await incidents.close(conn, order.id, IncidentKind.CAPTURE_FAILED)
        await settle_canceled(services, conn, order)
        log.info("order.adopted", order_id=order.id)


async def _take_up(services: Services, conn: Connection, order: Order) -> None:
    """Schedule captures again that a cancel took out, where the order was opened again and its hold stands."""
    held = {payment.id for payment in order.payments if payment.state is PaymentState.HELD}
    captures = await jobs.of_order(conn, order.id, JobKind.CAPTURE)
    removed = [job.subject for job in captures if job.state is JobState.REMOVED and job.subject in held]
    due = order.placed_at + services.policy.grace_period + services.policy.capture_delay
    await jobs.schedule_again(conn, JobKind.CAPTURE, order.id, removed, run_at=max(due, order.read_at))
    if removed:
        log.info("order.reopened", order_id=order.id, captures=len(removed))


def _being_captured(order: Order) -> bool:
    """Medusa has a capture in flight: its outcome is waited for, by the capture job that stays."""
    return any(payment.state is PaymentState.CAPTURE_IN_FLIGHT for payment in order.payments)
