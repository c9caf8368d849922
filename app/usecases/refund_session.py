"""Refund a payment session that was paid after its order was canceled, before the shop makes a payment of it."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import structlog

from app.domain.incidents import IncidentKind
from app.domain.intents import Standing, in_words, spell, standing
from app.domain.jobs import CALL_LIMIT, Job
from app.domain.order import Provider
from app.ports import Answered, Connection, Declined, Outcome, Services, Unknown
from app.store import jobs
from app.usecases.heal_incidents import close_refunded
from app.usecases.job_failures import record_failure, record_trouble
from app.usecases.void_session import SessionClaim

log = structlog.get_logger()


async def refund_session(services: Services, claim: SessionClaim) -> None:
    """Refund what Stripe received and has not refunded. Safe to run any number of times."""
    outcome = await _call(services, claim)
    await _record(services, claim, outcome)


async def _call(services: Services, claim: SessionClaim) -> Outcome:
    session, job = claim.session, claim.job
    if session.provider is not Provider.STRIPE:
        return Declined(f"{session.id}: this sidecar cannot refund for provider {session.provider_id}")
    try:
        async with asyncio.timeout(CALL_LIMIT.total_seconds()):
            seen = await services.gateway.look(session.intent_id)
            if not isinstance(seen, Answered):
                return seen
            owed = seen.intent.amount_received - seen.intent.amount_refunded
            if owed <= 0:
                return seen
            return await services.gateway.refund(session.intent_id, amount=owed, key=job.idempotency_key)
    except TimeoutError:
        return Unknown(f"no answer within {CALL_LIMIT.total_seconds():.0f} s")


async def _record(services: Services, claim: SessionClaim, outcome: Outcome) -> None:
    job = claim.job
    async with services.db.transaction("refund.record") as conn:
        order = await services.commerce.lock_order(conn, job.order_id)
        if not await jobs.hold(conn, job):
            return
        session = order.session(job.subject) if order is not None else None
        if order is not None and order.payment(job.subject) is not None:
            # The shop made a payment of it meanwhile: the next attempt retrieves the intent and records it there.
            await jobs.snooze(conn, job, timedelta(0), in_doubt=True)
        elif order is None or session is None:
            await record_vanished(conn, job, outcome)
        elif isinstance(outcome, Answered):
            await services.commerce.record_session(conn, session, outcome.intent)
            await jobs.end_well(conn, job, IncidentKind.REFUND_FAILED)
            await close_refunded(services, conn, order.id)
            refunded = spell(outcome.intent.amount_refunded, outcome.intent.currency)
            log.info("session.refunded", order_id=order.id, session_id=session.id, refunded=refunded)
        else:
            await record_failure(conn, job, outcome, kind=IncidentKind.REFUND_FAILED, now=order.read_at)
            log.warning("refund.failed", order_id=order.id, session_id=session.id, attempt=job.attempts)


async def record_vanished(conn: Connection, job: Job, outcome: Outcome | None) -> None:
    """The shop has forgotten the payment; the shopper has not, unless Stripe says that all was given back."""
    intent = outcome.intent if isinstance(outcome, (Answered, Declined)) else None
    gone = f"{job.subject} vanished from the shop while it was refunded; look for its money at Stripe"
    if intent is not None:
        settled = standing(intent) in {Standing.TAKEN, Standing.RELEASED}
        if settled and intent.amount_refunded >= intent.amount_received:
            await jobs.end_well(conn, job, IncidentKind.REFUND_FAILED, note="refunded, and gone from the shop")
            return
        gone += f". {in_words(intent)}"
    await record_trouble(conn, job, gone, kind=IncidentKind.REFUND_FAILED)
