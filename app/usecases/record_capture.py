"""Write down what came of a capture: booked, lost, or to be tried again."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Final

import msgspec
import structlog

from app.domain.capture import TakeMoney, decide_capture, medusa_captures
from app.domain.incidents import IncidentKind
from app.domain.intents import Intent, Standing, in_words, standing
from app.domain.jobs import Job, JobState
from app.domain.order import Order, OrderState, Payment, PaymentState
from app.ports import Answered, Connection, Declined, Outcome, Services
from app.store import incidents, jobs
from app.usecases.job_failures import record_failure
from app.usecases.judge_capture import raise_overpaid, record_taken
from app.usecases.settle_shared import raise_lost

log = structlog.get_logger()

_WHILE_MEDUSA_CAPTURES: Final = timedelta(seconds=5)
_AT_ONCE: Final = timedelta(0)


class Claim(msgspec.Struct, frozen=True):
    """A capture job that is this worker's, with the order as it was when the capture was decided."""

    job: Job
    order: Order
    payment: Payment
    amount: Decimal
    """What the order owes of the payment in all, in major units and not rounded."""
    compare: bool = False
    """Only retrieve the intent: what it says decides what is to be done."""


async def record_capture(services: Services, claim: Claim, outcome: Outcome | None) -> None:
    """Record ``outcome``, ``None`` where no gateway holds the money."""
    job = claim.job
    async with services.db.transaction("capture.record") as conn:
        order = await services.commerce.lock_order(conn, job.order_id)
        if not await jobs.hold(conn, job):
            log.warning("capture.lease_lost", job=job.id, order_id=job.order_id)
            return
        intent = outcome.intent if isinstance(outcome, (Answered, Declined)) else None
        payment = order.payment(job.subject) if order else None
        if order is None or payment is None:
            await _record_vanished(conn, job, intent)
        elif outcome is None:
            await _record_rows_alone(services, conn, order, payment, job)
        elif intent is None:
            await _record_failure(conn, order, job, outcome)
        else:
            await _record_standing(services, conn, order, payment, claim, outcome, intent)


async def close_failure(conn: Connection, job: Job) -> None:
    """This capture is no trouble any more; another of the same order may be."""
    if not await jobs.others_in_trouble(conn, job):
        await incidents.close(conn, job.order_id, IncidentKind.CAPTURE_FAILED)


async def _record_vanished(conn: Connection, job: Job, intent: Intent | None) -> None:
    detail = f"{job.subject} vanished from the shop while it was captured"
    if intent is not None:
        detail += f". {in_words(intent)}"
    await jobs.finish(conn, job, JobState.DEAD, note=detail)
    await incidents.open_(conn, job.order_id, IncidentKind.CAPTURE_FAILED, detail)


async def _record_rows_alone(services: Services, conn: Connection, order: Order, payment: Payment, job: Job) -> None:
    """No gateway took anything: what is captured is decided again, by the order as it is now."""
    if isinstance(decide_capture(order, payment.id), TakeMoney):
        await _record_captured(services, conn, order, payment, job, None)
    else:
        await jobs.snooze(conn, job, _AT_ONCE, in_doubt=False)


async def _record_standing(
    services: Services,
    conn: Connection,
    order: Order,
    payment: Payment,
    claim: Claim,
    outcome: Outcome,
    intent: Intent,
) -> None:
    job = claim.job
    match standing(intent):
        case Standing.TAKEN:
            await _record_captured(services, conn, order, payment, job, intent)
        case _ if payment.state is PaymentState.CAPTURED:  # by the rows: what they come to is all that can be judged
            await jobs.end_well(conn, job, IncidentKind.CAPTURE_FAILED)
            await raise_overpaid(conn, order)
        case Standing.RELEASED:
            await _record_lost(services, conn, order, payment, job, intent)
        case Standing.HELD | Standing.PARTLY_TAKEN if claim.compare and payment.captured == 0:
            await jobs.snooze(conn, job, _AT_ONCE, in_doubt=False)
        case _:
            await _record_failure(conn, order, job, outcome)


async def _record_failure(conn: Connection, order: Order, job: Job, outcome: Outcome) -> None:
    await record_failure(conn, job, outcome, kind=IncidentKind.CAPTURE_FAILED, now=order.read_at)
    log.warning("capture.failed", order_id=order.id, payment_id=job.subject, attempt=job.attempts)


async def _record_captured(
    services: Services, conn: Connection, order: Order, payment: Payment, job: Job, intent: Intent | None
) -> None:
    if medusa_captures(order, payment):
        await jobs.snooze(conn, job, _WHILE_MEDUSA_CAPTURES, in_doubt=True)
        return
    await jobs.end_well(conn, job, IncidentKind.CAPTURE_FAILED)
    await record_taken(services, conn, order, payment, intent)
    log.info("payment.captured", order_id=order.id, payment_id=payment.id)


async def _record_lost(
    services: Services, conn: Connection, order: Order, payment: Payment, job: Job, intent: Intent
) -> None:
    await services.commerce.record_void(conn, payment, intent)
    await close_failure(conn, job)
    if order.state is OrderState.CANCELED and not order.sharing(payment):
        await jobs.finish(conn, job, JobState.REMOVED, note="canceled meanwhile, and voided")
        return
    detail = f"{job.subject}: the authorization is canceled or lapsed at Stripe, the order is not canceled"
    after = await services.commerce.read_order(conn, order.id) or order
    lost = await raise_lost(conn, after, job.subject, detail)
    await jobs.finish(conn, job, JobState.DEAD if lost else JobState.REMOVED, note=detail)
