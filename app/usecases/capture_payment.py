"""Capture what an order owes of a payment whose grace period is over."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from datetime import timedelta
from typing import Final

import structlog

from app.domain.capture import (
    CaptureDecision,
    Compare,
    NotWanted,
    Skip,
    TakeMoney,
    WaitForMedusa,
    WaitForOther,
    decide_capture,
)
from app.domain.incidents import IncidentKind
from app.domain.intents import Standing, is_in, standing
from app.domain.jobs import CALL_LIMIT, PROCESSING_TRIES, Job, JobKind, JobRef, JobState, capture_key, processing_delay
from app.domain.money import to_minor_units
from app.domain.order import Order, OrderState, PaymentState, Provider
from app.domain.owed import share_of, uncovered
from app.domain.rival_sessions import CannotCompare, RetrieveSessions, WaitForSession
from app.ports import Answered, Connection, Declined, Outcome, Services, Unknown, Unseen
from app.store import incidents, jobs
from app.usecases.job_failures import record_failure, record_trouble
from app.usecases.judge_capture import raise_overpaid
from app.usecases.record_capture import Claim, close_failure, record_capture
from app.usecases.retrieve_sessions import SessionsClaim, record_sessions, retrieve_sessions
from app.usecases.settle_canceled import settle_canceled
from app.usecases.settle_shared import hand_over_captures, raise_lost

log = structlog.get_logger()

_WHILE_MEDUSA_CAPTURES: Final = timedelta(seconds=5)
_WHILE_ANOTHER_IS_CAPTURED: Final = timedelta(seconds=1)


async def capture_payment(services: Services, ref: JobRef) -> None:
    """Take what is owed of one hold, once, unless the order was canceled first. Safe to run any number of times."""
    claim = await _claim(services, ref)
    if isinstance(claim, SessionsClaim):
        claim = await _claim_after_sessions(services, claim)
    if claim is not None:
        await record_capture(services, claim, await _call(services, claim))


async def _claim(services: Services, ref: JobRef) -> Claim | SessionsClaim | None:
    """The point of no return: once this commits, a cancel is refused."""
    async with services.db.single("capture.claim") as conn:
        taken = await services.commerce.take_with_order(conn, ref)
    if taken is None:
        log.info("capture.stale", job=ref.id, order_id=ref.order_id)
        return None
    job, order = taken
    if order is not None:
        claim = _claimed(job, order, decide_capture(order, job.subject, in_doubt=job.in_doubt))
        if claim is not None:
            return claim
    return await _put_aside(services, job)


def _claimed(job: Job, order: Order, decision: CaptureDecision) -> Claim | SessionsClaim | None:
    match decision:
        case RetrieveSessions(sessions=sessions):
            return SessionsClaim(job, sessions)
        case TakeMoney(payment=payment, amount=amount):
            return Claim(job, order, payment, amount)
        case Compare(payment=payment):
            return Claim(job, order, payment, share_of(order, payment), compare=True)
        case _:
            return None


async def _put_aside(services: Services, job: Job) -> Claim | SessionsClaim | None:
    """It seems not to be wanted, or not now. Say so in the rows, unless it is wanted after all."""
    async with services.db.transaction("capture.unwanted") as conn:
        order = await services.commerce.lock_order(conn, job.order_id)
        if not await jobs.hold(conn, job):
            log.warning("capture.lease_lost", job=job.id, order_id=job.order_id)
            return None
        return await _decide_under_lock(services, conn, job, order)


async def _claim_after_sessions(services: Services, claim: SessionsClaim) -> Claim | None:
    """Retrieve the sessions, record what Stripe answers, and decide the capture by that, under a new lease."""
    job = claim.job
    intents = await retrieve_sessions(services, claim.sessions)
    async with services.db.transaction("capture.sessions") as conn:
        order = await services.commerce.lock_order(conn, job.order_id)
        if not await jobs.hold(conn, job):
            log.warning("capture.lease_lost", job=job.id, order_id=job.order_id)
            return None
        if isinstance(intents, Unseen):
            now = await conn.fetchval("select now()")
            await record_failure(conn, job, intents, kind=IncidentKind.CAPTURE_FAILED, now=now)
            return None
        if order is not None:
            order = await record_sessions(services, conn, order, intents)
        decided = await _decide_under_lock(services, conn, job, order, retrieved=intents)
        if isinstance(decided, SessionsClaim):  # another session was opened meanwhile
            await jobs.snooze(conn, job, _WHILE_ANOTHER_IS_CAPTURED, in_doubt=job.in_doubt)
            return None
        await jobs.renew(conn, job)
        return decided


async def _decide_under_lock(
    services: Services, conn: Connection, job: Job, order: Order | None, retrieved: Collection[str] = ()
) -> Claim | SessionsClaim | None:
    if order is None or order.payment(job.subject) is None:
        await _forgotten(services, conn, job, order)
        return None
    decision = decide_capture(order, job.subject, in_doubt=job.in_doubt, retrieved=retrieved)
    match decision:
        case WaitForMedusa():
            await jobs.snooze(conn, job, _WHILE_MEDUSA_CAPTURES, in_doubt=job.in_doubt)
        case WaitForOther():
            await jobs.snooze(conn, job, _WHILE_ANOTHER_IS_CAPTURED, in_doubt=job.in_doubt)
        case WaitForSession(session=session) if job.attempts < PROCESSING_TRIES:
            await jobs.snooze(conn, job, processing_delay(job.attempts), in_doubt=job.in_doubt)
            log.info("capture.session_processing", order_id=order.id, session_id=session.id)
        case WaitForSession(session=session):
            detail = f"{session.id} is still processed by its bank, and the hold beside it is not captured meanwhile"
            await record_trouble(conn, job, detail, kind=IncidentKind.CAPTURE_FAILED)
        case CannotCompare():
            await record_trouble(conn, job, decision.detail, kind=IncidentKind.CAPTURE_FAILED)
        case Skip(reason=reason):
            log.info("capture.skipped", order_id=order.id, payment_id=job.subject, reason=reason.value)
            await _skip(services, conn, order, job, reason)
        case _:
            pass
    return _claimed(job, order, decision)


async def _forgotten(services: Services, conn: Connection, job: Job, order: Order | None) -> None:
    """End the job of an order that is none. A checkout that failed late deletes its order; the hold may be there still.
    Medusa takes a conversion back, too: the order is a draft again, and the next conversion reopens the job."""
    if order is None and await services.commerce.order_exists(conn, job.order_id):
        await jobs.finish(conn, job, JobState.REMOVED, note="the order is a draft again")
        return
    payment = await services.commerce.read_payment(conn, job.subject)
    if payment is None or payment.state is not PaymentState.HELD:
        await jobs.finish(conn, job, JobState.REMOVED, note="the order or its payment no longer exists")
        return
    detail = f"{payment.id} is held, but its order is gone: void it by hand"
    await jobs.finish(conn, job, JobState.DEAD, note=detail)
    await incidents.open_(conn, job.order_id, IncidentKind.CAPTURE_FAILED, detail)


async def _skip(services: Services, conn: Connection, order: Order, job: Job, reason: NotWanted) -> None:
    """End the job, and with it the trouble it had: what is left to worry about has an incident of its own."""
    if order.state is OrderState.CANCELED:
        await settle_canceled(services, conn, order)
    await close_failure(conn, job)
    match reason:
        case NotWanted.ALREADY_CAPTURED:
            await jobs.finish(conn, job, note=reason.value)
            await raise_overpaid(conn, order)
        case NotWanted.ORDER_CANCELED:
            await jobs.finish(conn, job, JobState.REMOVED, note=reason.value)
            await hand_over_captures(services, conn, order)
        case NotWanted.PARTIALLY_CAPTURED:
            payment = order.payment(job.subject)
            detail = f"{job.subject}: {payment and payment.captured} of {payment and payment.amount} {order.currency}"
            await jobs.finish(conn, job, note=reason.value)
            if order.state is not OrderState.CANCELED and uncovered(order):
                await incidents.open_(conn, order.id, IncidentKind.PARTIAL_CAPTURE, detail)
        case NotWanted.AUTHORIZATION_CANCELED:
            detail = f"{job.subject} was canceled while the order was not"
            lost = await raise_lost(conn, order, job.subject, detail)
            await jobs.finish(conn, job, JobState.DEAD if lost else JobState.REMOVED, note=reason.value)
        case NotWanted.NOTHING_OWED:
            await jobs.finish(conn, job, JobState.REMOVED, note=reason.value)
            await jobs.schedule_again(conn, JobKind.VOID, order.id, [job.subject])
        case NotWanted.UNSUPPORTED_PROVIDER:
            detail = f"{job.subject}: this sidecar cannot capture for its provider"
            await jobs.finish(conn, job, JobState.DEAD, note=reason.value)
            await incidents.open_(conn, order.id, IncidentKind.UNSUPPORTED_PROVIDER, detail)


async def _call(services: Services, claim: Claim) -> Outcome | None:
    """``None`` where there is nobody to call."""
    if claim.payment.provider is Provider.SYSTEM:
        return None
    if claim.payment.intent_id is None:
        return Declined(f"{claim.payment.id} has no PaymentIntent in its data")
    try:
        async with asyncio.timeout(CALL_LIMIT.total_seconds()):
            return await _ask_stripe(services, claim, claim.payment.intent_id)
    except TimeoutError:
        return Unknown(f"no answer within {CALL_LIMIT.total_seconds():.0f} s")


async def _ask_stripe(services: Services, claim: Claim, intent_id: str) -> Outcome:
    """Retrieve the intent before any second attempt: what it has taken already is not asked for again."""
    job, currency, received = claim.job, claim.payment.currency, 0
    if claim.compare or job.attempts > 1:
        seen = await services.gateway.look(intent_id)
        if not isinstance(seen, Answered) or not is_in(seen.intent, currency):
            return seen
        found, received = standing(seen.intent), seen.intent.amount_received
        if found is Standing.PARTLY_TAKEN and received >= to_minor_units(claim.amount, currency):
            return await services.gateway.void(intent_id, key=f"{job.idempotency_key}-rest")
        if claim.compare or found not in {Standing.HELD, Standing.PARTLY_TAKEN}:
            return seen
    asked = to_minor_units(claim.amount, currency) - received
    key = capture_key(job, asked, to_minor_units(claim.payment.amount, currency))
    return await services.gateway.capture(intent_id, amount=asked, key=key)
