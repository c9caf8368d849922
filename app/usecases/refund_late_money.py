"""Give late money back because a person says so."""

from __future__ import annotations

from app.domain.incidents import IncidentKind
from app.domain.jobs import JobKind, JobState
from app.domain.order import Order, OrderState, Payment, Provider
from app.domain.timeline import Act
from app.ports import Services
from app.store import jobs
from app.usecases.operator_acts import Acted, ActRequest, Stage, on_stage, record_act

_WAITING = frozenset({JobState.SCHEDULED, JobState.QUEUED, JobState.RUNNING})


async def refund_late_money(services: Services, request: ActRequest) -> Acted:
    """Schedule the very refund that ``LATE_MONEY=refund`` would. Exactly once, however often it is pressed.

    A payment has one refund job for ever, and that looks at what Stripe still owes before it gives anything back.
    """
    async with on_stage(services, request) as stage:
        if isinstance(stage, Acted):
            return stage
        owed = _owed(stage.order) if stage.incident.kind is IncidentKind.LATE_MONEY else []
        if not owed:
            return Acted.NOTHING
        if not await record_act(stage, request, Act.REFUND, payments=[payment.id for payment in owed]):
            return Acted.BEFORE
        outcome = await _schedule(stage, owed)
    await services.wakeup.wake()
    return outcome


async def _schedule(stage: Stage, owed: list[Payment]) -> Acted:
    order_id = stage.incident.order_id
    there = {job.subject: job for job in await jobs.of_order(stage.conn, order_id, JobKind.REFUND)}
    new = [payment.id for payment in owed if payment.id not in there or there[payment.id].state not in _WAITING]
    for payment_id in new:
        await jobs.schedule(stage.conn, JobKind.REFUND, order_id, [payment_id])
        if payment_id in there:
            await jobs.again(stage.conn, JobKind.REFUND, order_id, payment_id)
    return Acted.DONE if new else Acted.BEFORE


def _owed(order: Order | None) -> list[Payment]:
    if order is None or order.state is not OrderState.CANCELED:
        return []
    return [
        payment
        for payment in order.payments
        if payment.refunded < payment.taken and payment.provider is not Provider.OTHER
    ]
