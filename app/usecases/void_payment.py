"""Void a hold of a canceled order, or of an open one that owes nothing any more."""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from app.domain.capture import medusa_captures
from app.domain.intents import Intent, Standing, in_words, standing
from app.domain.jobs import Job, JobKind, JobState
from app.domain.order import Order, OrderState, Payment
from app.domain.owed import kept_of
from app.domain.void import NotVoided, VoidHold, VoidSession, decide_void
from app.ports import Answered, Call, Outcome, PaymentGateway
from app.store import jobs
from app.usecases.capture_step import WHILE_MEDUSA_CAPTURES
from app.usecases.job_failures import record_failure, record_trouble
from app.usecases.job_run import JobRun, Recording
from app.usecases.judge_capture import raise_overpaid, record_taken
from app.usecases.settle_canceled import raise_late_money
from app.usecases.settle_shared import raise_lost
from app.usecases.stripe_job import (
    IntentStep,
    intent_of,
    leave_to_others,
    leave_to_provider,
    record_vanished,
    run_stripe_job,
)
from app.usecases.void_session import VoidSessionStep

log = structlog.get_logger()

_TOO_LATE = "captured before it could be voided"


async def void_payment(run: JobRun, order: Order | None) -> None:
    """Void one hold or session, once, and keep trying until Stripe says that it is gone."""
    await run_stripe_job(run, order, decide=_decide, put_aside=_put_aside)
    await run.services.void_news.tell(run.job.order_id)


def _decide(job: Job, order: Order | None) -> IntentStep | None:
    match decide_void(order, job.subject):
        case VoidHold(payment=payment, compare=compare):
            return _VoidStep(job, payment, compare=compare)
        case VoidSession(session=session):
            return VoidSessionStep(job, session)
        case _:
            return None


async def _put_aside(recording: Recording) -> IntentStep | None:
    """Decide again under the locks; record why there is nothing to void."""
    services, conn, job, order = recording.services, recording.conn, recording.job, recording.order
    decision = decide_void(order, job.subject)
    payment = order.payment(job.subject) if order is not None else None
    match decision:
        case VoidHold() | VoidSession():
            return _decide(job, order)
        case NotVoided.SHARED if order is not None:
            await leave_to_others(recording, order)
        case NotVoided.REOPENED:
            await recording.finish(JobState.REMOVED, note="the order is not canceled any more")
            await recording.close_failure()
        case _ if order is None or payment is None:
            detail = f"{job.subject} is not a payment of the order any more; its hold is left alone"
            await record_trouble(recording, detail)
        case NotVoided.CAPTURED:
            await recording.complete(note=_TOO_LATE)
            if order.state is not OrderState.CANCELED:
                await raise_overpaid(conn, order)
            elif kept_of(payment) > 0:
                await raise_late_money(services, conn, order, payment)
        case NotVoided.OWED:
            await recording.finish(JobState.REMOVED, note="the order is open and owes it")
            await jobs.schedule_again(conn, JobKind.CAPTURE, order.id, [payment.id], origin=services.origin)
            await recording.close_failure()
        case NotVoided.UNSUPPORTED_PROVIDER:
            await leave_to_provider(recording, payment)
        case _:
            if order.state is not OrderState.CANCELED:
                await services.payments.record_release(conn, payment, None)
            await recording.complete()
    return None


@dataclass(frozen=True)
class _VoidStep(IntentStep):
    """Void the hold of a payment."""

    async def act(self, gateway: PaymentGateway, calls: list[Call], intent_id: str, seen: Answered | None) -> Outcome:
        """Cancel the intent, unless it is released or taken already."""
        if seen is not None and (self.compare or standing(seen.intent) in {Standing.RELEASED, Standing.TAKEN}):
            return seen
        return await gateway.void(intent_id, key=self.job.idempotency_key, calls=calls)

    async def record(self, recording: Recording, answer: Outcome | None) -> None:
        """Record that the hold is released, that its money was taken instead, or that the void failed."""
        job, order, intent = recording.job, recording.order, intent_of(answer)
        payment = order.payment(job.subject) if order else None
        found = None if intent is None else standing(intent)
        if order is None or payment is None:
            await record_vanished(recording, answer, "hold", done=found is Standing.RELEASED, verb="voided")
        elif intent is not None and found is Standing.RELEASED:
            await _record_released(recording, order, payment, intent)
        elif intent is not None and found is Standing.TAKEN and medusa_captures(order, payment):
            # Its capture row goes again when it never hears of its success: what it leaves is looked at then.
            await recording.snooze(WHILE_MEDUSA_CAPTURES, in_doubt=True)
        elif intent is not None and found is Standing.TAKEN:
            await recording.complete(note=_TOO_LATE)
            await record_taken(recording.services, recording.conn, order, payment, intent)
        elif self.compare and order.state is not OrderState.CANCELED and intent is not None:
            detail = f"{payment.id} is canceled, its order is not, and its hold is left alone. {in_words(intent)}"
            await record_trouble(recording, detail)
        elif answer is not None:
            await record_failure(recording, answer)
            log.warning("void.failed", order_id=order.id, payment_id=payment.id, attempt=job.attempts)


async def _record_released(recording: Recording, order: Order, payment: Payment, intent: Intent) -> None:
    services, conn = recording.services, recording.conn
    if order.state is OrderState.CANCELED:
        await services.payments.record_void(conn, payment, intent)
    else:
        await services.payments.record_release(conn, payment, intent)
    await recording.complete()
    log.info("payment.voided", order_id=order.id, payment_id=payment.id)
    if order.state is not OrderState.CANCELED or order.sharing(payment):
        after = await services.orders.read_order(conn, order.id) or order
        await raise_lost(conn, after, payment.id, f"{payment.id}: its hold was voided")
