"""Cancel the PaymentIntent of a payment session of a canceled order, before a payment is made of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import structlog

from app.domain.intents import Intent, IntentState, Standing, standing
from app.domain.jobs import poll_delay
from app.domain.order import Order, OrderState, PaymentSession
from app.ports import Answered, Call, Declined, Outcome, PaymentGateway
from app.usecases.job_failures import record_failure
from app.usecases.job_run import Recording
from app.usecases.settle_sessions import settle_sessions
from app.usecases.stripe_job import IntentStep, intent_of, leave_to_provider, record_vanished

log = structlog.get_logger()

_OVER = {Standing.RELEASED, Standing.TAKEN}


@dataclass(frozen=True)
class VoidSessionStep(IntentStep):
    """Cancel the intent once, and retrieve it until it is canceled or paid."""

    async def act(self, gateway: PaymentGateway, calls: list[Call], intent_id: str, seen: Answered | None) -> Outcome:
        """Cancel the intent where that is worth a call: what a bank processes is canceled in rare cases only."""
        if seen is not None and (standing(seen.intent) in _OVER or seen.intent.state is IntentState.PROCESSING):
            return seen
        return await gateway.void(intent_id, key=self.job.idempotency_key, calls=calls)

    async def record(self, recording: Recording, answer: Outcome | None) -> None:
        """Record the end of the session, or when its intent is retrieved again."""
        job, order, intent = recording.job, recording.order, intent_of(answer)
        found = None if intent is None else standing(intent)
        session = order.session(job.subject) if order is not None else None
        if order is not None and order.payment(job.subject) is not None:
            # The shop made a payment of it meanwhile: the next attempt retrieves the intent and records it there.
            await recording.snooze(timedelta(0), in_doubt=True)
        elif order is None or session is None:
            await record_vanished(recording, answer, "intent", done=found is Standing.RELEASED, verb="voided")
        elif answer is None:
            await leave_to_provider(recording, session)
        elif intent is not None and found in _OVER:
            await _record_end(recording, order, session, intent)
        elif intent is not None and intent.state is IntentState.PROCESSING:
            delay = poll_delay(job.attempts)
            await recording.snooze(delay, in_doubt=False, new_key=isinstance(answer, Declined))
            log.info("session.processing", order_id=order.id, session_id=session.id, again_in=delay.total_seconds())
        else:
            await record_failure(recording, answer)
            log.warning("void.failed", order_id=order.id, session_id=session.id, attempt=job.attempts)


async def _record_end(recording: Recording, order: Order, session: PaymentSession, intent: Intent) -> None:
    services, conn = recording.services, recording.conn
    await services.payments.record_session(conn, session, intent)
    received = standing(intent) is Standing.TAKEN
    await recording.complete(note="paid before it could be canceled" if received else None)
    log.info("session.paid" if received else "session.voided", order_id=order.id, session_id=session.id)
    after = await services.orders.read_order(conn, order.id) or order
    if after.state is OrderState.CANCELED:
        await settle_sessions(services, conn, after)
