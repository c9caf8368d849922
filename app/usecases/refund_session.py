"""Refund a payment session that was paid after its order was canceled, before the shop makes a payment of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import structlog

from app.domain.intents import Standing, spell, standing
from app.ports import Answered, Call, Declined, Outcome, PaymentGateway
from app.usecases.heal_incidents import close_refunded
from app.usecases.job_failures import record_failure
from app.usecases.job_run import Recording
from app.usecases.stripe_job import IntentStep, intent_of, record_vanished

log = structlog.get_logger()


@dataclass(frozen=True)
class RefundStep(IntentStep):
    """Refund what Stripe received and has not refunded."""

    @property
    def retrieves_first(self) -> bool:
        """Always: what Stripe has refunded already is not refunded again."""
        return True

    async def act(self, gateway: PaymentGateway, calls: list[Call], intent_id: str, seen: Answered | None) -> Outcome:
        """Refund the rest."""
        assert seen is not None
        owed = seen.intent.amount_received - seen.intent.amount_refunded
        if owed <= 0:
            return seen
        return await gateway.refund(intent_id, amount=owed, key=self.job.idempotency_key, calls=calls)

    async def record_gone(self, recording: Recording, answer: Outcome | None) -> None:
        """The shop has forgotten the money; the shopper has not, unless Stripe says that all was refunded."""
        intent = intent_of(answer)
        settled = intent is not None and standing(intent) in {Standing.TAKEN, Standing.RELEASED}
        done = settled and intent is not None and intent.amount_refunded >= intent.amount_received
        await record_vanished(recording, answer, "money", done=done, verb="refunded")


@dataclass(frozen=True)
class RefundSessionStep(RefundStep):
    """Refund a session."""

    async def record(self, recording: Recording, answer: Outcome | None) -> None:
        """Record the refund, or that it failed."""
        services, conn, job, order = recording.services, recording.conn, recording.job, recording.order
        session = order.session(job.subject) if order is not None else None
        if order is not None and order.payment(job.subject) is not None:
            # The shop made a payment of it meanwhile: the next attempt retrieves the intent and records it there.
            await recording.snooze(timedelta(0), in_doubt=True)
        elif order is None or session is None:
            await self.record_gone(recording, answer)
        elif isinstance(answer, Answered):
            await services.payments.record_session(conn, session, answer.intent)
            await recording.complete()
            await close_refunded(services, conn, order.id)
            refunded = spell(answer.intent.amount_refunded, answer.intent.currency)
            log.info("session.refunded", order_id=order.id, session_id=session.id, refunded=refunded)
        else:
            detail = f"{session.id}: this sidecar cannot refund for provider {session.provider_id}"
            await record_failure(recording, answer or Declined(detail))
            log.warning("refund.failed", order_id=order.id, session_id=session.id, attempt=job.attempts)
