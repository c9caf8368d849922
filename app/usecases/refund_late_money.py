"""Give late money back because a person says so."""

from __future__ import annotations

from collections.abc import Mapping

from app.domain.incidents import IncidentKind
from app.domain.jobs import Job, JobKind, JobState
from app.domain.order import Order, OrderState, Payment, PaymentSession, Provider
from app.domain.owed import kept_money
from app.domain.timeline import Act
from app.ports import Origin, Services
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
        if not await record_act(stage, request, Act.REFUND, payments=[money.id for money in owed]):
            return Acted.BEFORE
        outcome = await _schedule(stage, owed, request.origin)
    await services.wakeup.wake()
    return outcome


async def _schedule(stage: Stage, owed: list[Payment | PaymentSession], origin: Origin) -> Acted:
    order_id = stage.incident.order_id
    there = {job.subject: job for job in await jobs.of_order(stage.conn, order_id, JobKind.REFUND)}
    subjects = [_subject(money, there) for money in owed]
    new = [subject for subject in subjects if subject not in there or there[subject].state not in _WAITING]
    for subject in new:
        await jobs.schedule_again(stage.conn, JobKind.REFUND, order_id, [subject], origin=origin)
    return Acted.DONE if new else Acted.BEFORE


def _subject(money: Payment | PaymentSession, there: Mapping[str, Job]) -> str:
    """The session of a payment that is being refunded by that name already, so that an intent has one refund job."""
    of_session = money.session_id if isinstance(money, Payment) else None
    return of_session if of_session is not None and of_session in there else money.id


def _owed(order: Order | None) -> list[Payment | PaymentSession]:
    if order is None or order.state is not OrderState.CANCELED:
        return []
    return [money for money in kept_money(order) if money.provider is not Provider.OTHER]
