"""Give back what was captured on a canceled order."""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from app.domain.capture import MEDUSA_FINISHES_WITHIN
from app.domain.intents import in_words, is_in
from app.domain.jobs import Job, JobKind, JobState
from app.domain.money import given_back
from app.domain.order import Order, OrderState, Payment, Provider
from app.domain.owed import kept_of
from app.domain.void import is_left_to_others
from app.ports import Answered, Call, Event, Outcome, PaymentGateway, Unseen
from app.store import jobs
from app.usecases.heal_incidents import close_late_money_if_settled, close_refunded
from app.usecases.job_failures import record_failure, record_trouble
from app.usecases.job_run import JobRun, Recording
from app.usecases.refund_session import RefundSessionStep, RefundStep
from app.usecases.stripe_job import leave_to_others, leave_to_provider, run_stripe_job
from app.usecases.tell_subscribers import tell_subscribers

log = structlog.get_logger()


async def refund_payment(run: JobRun, order: Order | None) -> None:
    """Refund one late capture or paid session, once."""
    await run_stripe_job(run, order, decide=_decide, put_aside=_put_aside)


def _decide(job: Job, order: Order | None) -> RefundStep | None:
    if order is None or order.state is not OrderState.CANCELED or is_left_to_others(order, job.subject):
        return None
    payment, session = order.payment(job.subject), order.session(job.subject)
    if payment is None:
        return None if session is None else RefundSessionStep(job, session)
    ours = payment.provider is Provider.STRIPE or (payment.provider is Provider.SYSTEM and kept_of(payment) > 0)
    return _RefundStep(job, payment) if ours else None


async def _put_aside(recording: Recording) -> RefundStep | None:
    """Decide again under the locks; record why there is nothing to refund."""
    job, order = recording.job, recording.order
    payment = order.payment(job.subject) if order is not None else None
    step = _decide(job, order)
    if step is not None:
        return step
    if order is not None and is_left_to_others(order, job.subject):
        await leave_to_others(recording, order)
    elif order is not None and order.state is not OrderState.CANCELED:
        await recording.finish(JobState.REMOVED, note="the order is not canceled any more")
    elif order is None or payment is None:
        gone = f"{job.subject} vanished from the shop before it was refunded; look for its money at Stripe"
        await record_trouble(recording, gone)
    elif kept_of(payment) == 0:
        await recording.complete(note="refunded by somebody else")
        await close_late_money_if_settled(recording.conn, order)
    else:
        await leave_to_provider(recording, payment)
    return None


@dataclass(frozen=True)
class _RefundStep(RefundStep):
    """Refund a payment."""

    money: Payment

    async def act(self, gateway: PaymentGateway, calls: list[Call], intent_id: str, seen: Answered | None) -> Outcome:
        """Refund the rest, where the intent is of the payment's currency."""
        if seen is not None and not is_in(seen.intent, self.money.currency):
            return Unseen(f"{self.money.id} is of {self.money.currency.upper()}, and {in_words(seen.intent)}")
        return await super().act(gateway, calls, intent_id, seen)

    async def record(self, recording: Recording, answer: Outcome | None) -> None:
        """Record the refund, ``None`` where no gateway holds the money; or that it failed."""
        services, conn, job, order = recording.services, recording.conn, recording.job, recording.order
        payment = order.payment(job.subject) if order else None
        if order is None or payment is None:
            await self.record_gone(recording, answer)
            return
        if answer is not None and not isinstance(answer, Answered):
            await record_failure(recording, answer)
            log.warning("refund.failed", order_id=order.id, payment_id=payment.id, attempt=job.attempts)
            return
        refunded = payment.taken
        if answer is not None:
            refunded = given_back(answer.intent.amount_refunded, payment.taken, payment.currency)
        if refund_id := await services.payments.record_refund(conn, order, payment, refunded):
            await tell_subscribers(services, conn, order.id, Event("payment.refunded", payment.id, refund_id))
        elif answer is not None:
            # The rows told of the refund before we did: by a row of Medusa's that it takes out again when Stripe, which
            # has given the money back to us already, refuses it. When that is over, they are compared with Stripe.
            due = order.read_at + MEDUSA_FINISHES_WITHIN
            subject = f"{payment.id}:after-refund"
            await jobs.schedule_again(conn, JobKind.LOOK, order.id, [subject], run_at=due, origin=services.origin)
        await recording.complete()
        await close_refunded(services, conn, order.id)
        log.info("payment.refunded", order_id=order.id, payment_id=payment.id)
