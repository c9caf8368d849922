"""Capture one hold at Stripe, and record what came of it: booked, lost, or to be tried again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Final

import structlog

from app.domain.capture import TakeMoney, decide_capture, medusa_captures
from app.domain.incidents import IncidentKind
from app.domain.intents import Intent, Standing, in_words, is_in, standing
from app.domain.jobs import JobState, capture_key
from app.domain.money import to_minor_units
from app.domain.order import Order, OrderState, Payment, PaymentState
from app.ports import Answered, Call, Outcome, PaymentGateway
from app.usecases.job_failures import record_failure
from app.usecases.job_run import Recording
from app.usecases.judge_capture import raise_overpaid, record_taken
from app.usecases.settle_shared import raise_lost
from app.usecases.stripe_job import IntentStep, intent_of

log = structlog.get_logger()

WHILE_MEDUSA_CAPTURES: Final = timedelta(seconds=5)


@dataclass(frozen=True)
class CaptureStep(IntentStep):
    """Capture what the order owes of a payment, unless ``compare``: then what the intent says decides."""

    money: Payment
    amount: Decimal
    """What the order owes of the payment in all, in major units and not rounded."""

    async def act(self, gateway: PaymentGateway, calls: list[Call], intent_id: str, seen: Answered | None) -> Outcome:
        """Capture what the intent has not received of the amount already."""
        job, currency, received = self.job, self.money.currency, 0
        if seen is not None:
            if not is_in(seen.intent, currency):
                return seen
            found, received = standing(seen.intent), seen.intent.amount_received
            if found is Standing.PARTLY_TAKEN and received >= to_minor_units(self.amount, currency):
                return await gateway.void(intent_id, key=f"{job.idempotency_key}-rest", calls=calls)
            if self.compare or found not in {Standing.HELD, Standing.PARTLY_TAKEN}:
                return seen
        asked = to_minor_units(self.amount, currency) - received
        key = capture_key(job, asked, to_minor_units(self.money.amount, currency))
        return await gateway.capture(intent_id, amount=asked, key=key, calls=calls)

    async def record(self, recording: Recording, answer: Outcome | None) -> None:
        """Record the answer, ``None`` where no gateway holds the money."""
        job, order, intent = recording.job, recording.order, intent_of(answer)
        payment = order.payment(job.subject) if order else None
        if order is None or payment is None:
            detail = f"{job.subject} vanished from the shop while it was captured"
            detail += "" if intent is None else f". {in_words(intent)}"
            await recording.give_up(IncidentKind.CAPTURE_FAILED, detail)
        elif answer is None:
            await _record_rows_alone(recording, order, payment)
        elif intent is None:
            await _record_failure(recording, answer)
        else:
            await _record_standing(recording, order, payment, answer, intent, compare=self.compare)


async def _record_rows_alone(recording: Recording, order: Order, payment: Payment) -> None:
    """No gateway took anything: what is captured is decided again, by the order as it is now."""
    if isinstance(decide_capture(order, payment.id), TakeMoney):
        await _record_captured(recording, order, payment, None)
    else:
        await recording.snooze(timedelta(0), in_doubt=False)


async def _record_standing(
    recording: Recording, order: Order, payment: Payment, answer: Outcome, intent: Intent, *, compare: bool
) -> None:
    match standing(intent):
        case Standing.TAKEN:
            await _record_captured(recording, order, payment, intent)
        case _ if payment.state is PaymentState.CAPTURED:  # by the rows: what they come to is all that can be judged
            await recording.complete()
            await raise_overpaid(recording.conn, order)
        case Standing.RELEASED:
            await _record_lost(recording, order, payment, intent)
        case Standing.HELD | Standing.PARTLY_TAKEN if compare and payment.captured == 0:
            await recording.snooze(timedelta(0), in_doubt=False)
        case _:
            await _record_failure(recording, answer)


async def _record_failure(recording: Recording, answer: Outcome) -> None:
    job = recording.job
    await record_failure(recording, answer)
    log.warning("capture.failed", order_id=job.order_id, payment_id=job.subject, attempt=job.attempts)


async def _record_captured(recording: Recording, order: Order, payment: Payment, intent: Intent | None) -> None:
    if medusa_captures(order, payment):
        await recording.snooze(WHILE_MEDUSA_CAPTURES, in_doubt=True)
        return
    await recording.complete()
    await record_taken(recording.services, recording.conn, order, payment, intent)
    log.info("payment.captured", order_id=order.id, payment_id=payment.id)


async def _record_lost(recording: Recording, order: Order, payment: Payment, intent: Intent) -> None:
    services, conn = recording.services, recording.conn
    await services.payments.record_void(conn, payment, intent)
    await recording.close_failure()
    if order.state is OrderState.CANCELED and not order.sharing(payment):
        await recording.finish(JobState.REMOVED, note="canceled meanwhile, and voided")
        return
    detail = f"{payment.id}: the authorization is canceled or lapsed at Stripe, the order is not canceled"
    after = await services.orders.read_order(conn, order.id) or order
    lost = await raise_lost(conn, after, payment.id, detail)
    await recording.finish(JobState.DEAD if lost else JobState.REMOVED, note=detail)
