"""Cancel the PaymentIntent of a payment session of a canceled order, before a payment is made of it."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import msgspec
import structlog

from app.domain.incidents import IncidentKind
from app.domain.intents import Intent, IntentState, Standing, in_words, standing
from app.domain.jobs import CALL_LIMIT, Job, JobState, poll_delay
from app.domain.order import Order, OrderState, PaymentSession, Provider
from app.domain.void import is_left_to_others
from app.ports import Answered, Connection, Declined, Outcome, Services, Unknown
from app.store import incidents, jobs
from app.usecases.job_failures import record_failure, record_trouble
from app.usecases.settle_sessions import settle_sessions

log = structlog.get_logger()


class SessionClaim(msgspec.Struct, frozen=True):
    """A void job that is about a session without a payment."""

    job: Job
    session: PaymentSession


def claim_session(order: Order | None, job: Job) -> SessionClaim | None:
    """The job's session, if it is one of a canceled order and no live order needs it."""
    session = order.session(job.subject) if order is not None and order.state is OrderState.CANCELED else None
    if session is None or order is None or is_left_to_others(order, job.subject):
        return None
    return SessionClaim(job, session)


async def void_session(services: Services, claim: SessionClaim) -> None:
    """Cancel the intent once, and retrieve it until it is canceled or paid. Safe to run any number of times."""
    outcome = await _call(services, claim)
    await _record(services, claim, outcome)


async def _call(services: Services, claim: SessionClaim) -> Outcome | None:
    """``None`` where it is not for us to call."""
    session, job = claim.session, claim.job
    if session.provider is not Provider.STRIPE:
        return None
    try:
        async with asyncio.timeout(CALL_LIMIT.total_seconds()):
            if job.attempts > 1:
                seen = await services.gateway.look(session.intent_id)
                if not isinstance(seen, Answered) or not _can_be_canceled(seen.intent):
                    return seen
            return await services.gateway.void(session.intent_id, key=job.idempotency_key)
    except TimeoutError:
        return Unknown(f"no answer within {CALL_LIMIT.total_seconds():.0f} s")


def _can_be_canceled(intent: Intent) -> bool:
    """Whether a cancel is worth a call: what a bank processes (SEPA, a transfer) is canceled in rare cases only."""
    over = standing(intent) in {Standing.RELEASED, Standing.TAKEN}
    return not over and intent.state is not IntentState.PROCESSING


async def _record(services: Services, claim: SessionClaim, outcome: Outcome | None) -> None:
    job = claim.job
    async with services.db.transaction("void.record") as conn:
        order = await services.commerce.lock_order(conn, job.order_id)
        if not await jobs.hold(conn, job):
            log.warning("void.lease_lost", job=job.id, order_id=job.order_id)
            return
        intent = outcome.intent if isinstance(outcome, (Answered, Declined)) else None
        session = order.session(job.subject) if order is not None else None
        if order is not None and order.payment(job.subject) is not None:
            # The shop made a payment of it meanwhile: the next attempt retrieves the intent and records it there.
            await jobs.snooze(conn, job, timedelta(0), in_doubt=True)
        elif order is None or session is None:
            await _record_vanished(conn, job, intent)
        elif outcome is None:
            await _record_unsupported(conn, session, job)
        elif intent is not None and standing(intent) in {Standing.RELEASED, Standing.TAKEN}:
            await _record_end(services, conn, order, session, job, intent)
        elif intent is not None and intent.state is IntentState.PROCESSING:
            delay = poll_delay(job.attempts)
            await jobs.snooze(conn, job, delay, in_doubt=False, new_key=isinstance(outcome, Declined))
            log.info("session.processing", order_id=order.id, session_id=session.id, again_in=delay.total_seconds())
        else:
            await record_failure(conn, job, outcome, kind=IncidentKind.VOID_FAILED, now=order.read_at)
            log.warning("void.failed", order_id=order.id, session_id=session.id, attempt=job.attempts)


async def _record_end(
    services: Services, conn: Connection, order: Order, session: PaymentSession, job: Job, intent: Intent
) -> None:
    await services.commerce.record_session(conn, session, intent)
    received = standing(intent) is Standing.TAKEN
    note = "paid before it could be canceled" if received else None
    await jobs.end_well(conn, job, IncidentKind.VOID_FAILED, note=note)
    log.info("session.paid" if received else "session.voided", order_id=order.id, session_id=session.id)
    after = await services.commerce.read_order(conn, order.id) or order
    if after.state is OrderState.CANCELED:
        await settle_sessions(services, conn, after)


async def _record_unsupported(conn: Connection, session: PaymentSession, job: Job) -> None:
    detail = f"{session.id}: this sidecar cannot void for provider {session.provider_id}"
    await jobs.finish(conn, job, JobState.DEAD, note=detail)
    await incidents.open_(conn, job.order_id, IncidentKind.UNSUPPORTED_PROVIDER, detail)


async def _record_vanished(conn: Connection, job: Job, intent: Intent | None) -> None:
    """The shop has deleted the session; its intent can still be paid, unless Stripe says that it is canceled."""
    if intent is not None and standing(intent) is Standing.RELEASED:
        await jobs.end_well(conn, job, IncidentKind.VOID_FAILED, note="voided, and gone from the shop")
        return
    gone = f"{job.subject} vanished from the shop while it was voided; look for its intent at Stripe"
    if intent is not None:
        gone += f". {in_words(intent)}"
    await record_trouble(conn, job, gone, kind=IncidentKind.VOID_FAILED)
