"""Capture a payment whose grace period is over."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Final

import msgspec
import structlog

from app.domain.capture import NotWanted, Skip, TakeMoney, WaitForMedusa, decide_capture, left_behind
from app.domain.incidents import IncidentKind
from app.domain.jobs import CALL_LIMIT, Job, JobRef, JobState
from app.domain.money import to_minor_units
from app.domain.order import Order, OrderState, Payment, PaymentState, Provider
from app.ports import Answered, Connection, Declined, Event, Intent, IntentState, Outcome, Services, Unknown
from app.store import incidents, jobs
from app.usecases.job_failures import record_failure
from app.usecases.settle_canceled import raise_late_money, settle_canceled
from app.usecases.tell_subscribers import tell_subscribers

log = structlog.get_logger()

_WHILE_MEDUSA_CAPTURES: Final = timedelta(seconds=5)


class _Claim(msgspec.Struct, frozen=True):
    job: Job
    order: Order
    payment: Payment


async def capture_payment(services: Services, ref: JobRef) -> None:
    """Take the money of one hold, once, unless the order was canceled first. Safe to run any number of times."""
    claim = await _claim(services, ref)
    if claim is None:
        return
    outcome = await _call(services, claim)
    if not await _record_as_claimed(services, claim, outcome):
        await _record(services, claim, outcome)


async def _claim(services: Services, ref: JobRef) -> _Claim | None:
    """The point of no return: once this commits, a cancel is refused."""
    async with services.db.single("capture.claim") as conn:
        taken = await services.commerce.take_with_order(conn, ref)
    if taken is None:
        log.info("capture.stale", job=ref.id, order_id=ref.order_id)
        return None
    job, order = taken
    if order is not None and isinstance(decision := decide_capture(order, job.subject), TakeMoney):
        return _Claim(job, order, decision.payment)
    return await _put_aside(services, job)


async def _put_aside(services: Services, job: Job) -> _Claim | None:
    """It seems not to be wanted, or not now. Say so in the rows, unless it is wanted after all."""
    async with services.db.transaction("capture.unwanted") as conn:
        order = await services.commerce.lock_order(conn, job.order_id)
        if not await jobs.hold(conn, job):
            log.warning("capture.lease_lost", job=job.id, order_id=job.order_id)
            return None
        if order is None or order.payment(job.subject) is None:
            await _forgotten(services, conn, job)
            return None
        match decide_capture(order, job.subject):
            case TakeMoney(payment=payment):
                return _Claim(job, order, payment)
            case WaitForMedusa():
                await jobs.snooze(conn, job, _WHILE_MEDUSA_CAPTURES, in_doubt=job.in_doubt)
            case Skip(reason=reason):
                log.info("capture.skipped", order_id=order.id, payment_id=job.subject, reason=reason.value)
                await _skip(services, conn, order, job, reason)
        return None


async def _forgotten(services: Services, conn: Connection, job: Job) -> None:
    """A checkout that failed late deletes its order; the hold may be there still."""
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
    await _close_failure(conn, job)
    match reason:
        case NotWanted.ALREADY_CAPTURED:
            await jobs.finish(conn, job, note=reason.value)
        case NotWanted.ORDER_CANCELED:
            await jobs.finish(conn, job, JobState.REMOVED, note=reason.value)
        case NotWanted.PARTIALLY_CAPTURED:
            payment = order.payment(job.subject)
            detail = f"{job.subject}: {payment and payment.captured} of {payment and payment.amount} {order.currency}"
            await jobs.finish(conn, job, note=reason.value)
            if order.state is not OrderState.CANCELED:
                await incidents.open_(conn, order.id, IncidentKind.PARTIAL_CAPTURE, detail)
        case NotWanted.AUTHORIZATION_CANCELED:
            detail = f"{job.subject} was canceled while the order was not"
            await jobs.finish(conn, job, JobState.DEAD, note=reason.value)
            await incidents.open_(conn, order.id, IncidentKind.AUTHORIZATION_LOST, detail)
        case NotWanted.UNSUPPORTED_PROVIDER:
            detail = f"{job.subject}: this sidecar cannot capture for its provider"
            await jobs.finish(conn, job, JobState.DEAD, note=reason.value)
            await incidents.open_(conn, order.id, IncidentKind.UNSUPPORTED_PROVIDER, detail)


async def _call(services: Services, claim: _Claim) -> Outcome | None:
    """``None`` where there is nobody to call."""
    payment, job = claim.payment, claim.job
    if payment.provider is Provider.SYSTEM:
        return None
    if payment.intent_id is None:
        return Declined(f"{payment.id} has no PaymentIntent in its data")
    try:
        async with asyncio.timeout(CALL_LIMIT.total_seconds()):
            if job.attempts > 1:
                seen = await services.gateway.look(payment.intent_id)
                if not isinstance(seen, Answered) or seen.intent.state is not IntentState.HELD:
                    return seen
            amount = to_minor_units(payment.amount, payment.currency)
            return await services.gateway.capture(payment.intent_id, amount=amount, key=job.idempotency_key)
    except TimeoutError:
        return Unknown(f"no answer within {CALL_LIMIT.total_seconds():.0f} s")


async def _record_as_claimed(services: Services, claim: _Claim, outcome: Outcome | None) -> bool:
    """The usual record: all went well, and the order still is as it was. ``False`` when there is more to it."""
    job, order, payment = claim.job, claim.order, claim.payment
    intent = outcome.intent if isinstance(outcome, Answered) else None
    if payment.state is not PaymentState.HELD or not (outcome is None or _is_all_taken(intent, payment)):
        return False
    news = Event("payment.captured", payment.id) if services.policy.publishes_events else None
    async with services.db.single("capture.record") as conn:
        done = await services.commerce.finish_capture(
            conn, job, order, payment, intent, news=news, calls=services.calls
        )
    if done:
        services.calls.clear()
        log.info("payment.captured", order_id=order.id, payment_id=payment.id)
    return done


def _is_all_taken(intent: Intent | None, payment: Payment) -> bool:
    return (
        intent is not None
        and intent.state is IntentState.CAPTURED
        and intent.amount_received >= to_minor_units(payment.amount, payment.currency)
    )


async def _record(services: Services, claim: _Claim, outcome: Outcome | None) -> None:
    job = claim.job
    async with services.db.transaction("capture.record") as conn:
        order = await services.commerce.lock_order(conn, job.order_id)
        if not await jobs.hold(conn, job):
            log.warning("capture.lease_lost", job=job.id, order_id=job.order_id)
            return
        payment = order.payment(job.subject) if order else None
        if order is None or payment is None:
            detail = f"{job.subject} vanished from the shop while it was captured"
            await jobs.finish(conn, job, JobState.DEAD, note=detail)
            await incidents.open_(conn, job.order_id, IncidentKind.CAPTURE_FAILED, detail)
            return
        intent = None if outcome is None else outcome.intent if isinstance(outcome, (Answered, Declined)) else None
        if outcome is None or (intent is not None and intent.state is IntentState.CAPTURED):
            await _record_captured(services, conn, order, payment, job, intent)
        elif intent is not None and intent.state is IntentState.CANCELED:
            await _record_lost(services, conn, order, payment, job, intent)
        else:
            await record_failure(conn, job, outcome, kind=IncidentKind.CAPTURE_FAILED, now=order.read_at)
            log.warning("capture.failed", order_id=order.id, payment_id=payment.id, attempt=job.attempts)


async def _record_captured(
    services: Services, conn: Connection, order: Order, payment: Payment, job: Job, intent: Intent | None
) -> None:
    if payment.state is PaymentState.CAPTURE_IN_FLIGHT and not left_behind(order, payment):
        await jobs.snooze(conn, job, _WHILE_MEDUSA_CAPTURES, in_doubt=True)
        return
    if await services.commerce.record_capture(conn, order, payment, intent):
        await tell_subscribers(services, conn, order.id, Event("payment.captured", payment.id))
    await jobs.end_well(conn, job, IncidentKind.CAPTURE_FAILED)
    if intent is not None and intent.amount_received < to_minor_units(payment.amount, payment.currency):
        detail = f"{payment.id}: Stripe captured {intent.amount_received} (smallest unit) of {payment.amount}"
        await incidents.open_(conn, order.id, IncidentKind.PARTIAL_CAPTURE, detail)
    log.info("payment.captured", order_id=order.id, payment_id=payment.id)
    if order.state is OrderState.CANCELED:
        await raise_late_money(services, conn, order, payment)


async def _record_lost(
    services: Services, conn: Connection, order: Order, payment: Payment, job: Job, intent: Intent
) -> None:
    await services.commerce.record_void(conn, payment, intent)
    await _close_failure(conn, job)
    if order.state is OrderState.CANCELED:
        await jobs.finish(conn, job, JobState.REMOVED, note="canceled meanwhile, and voided")
        return
    detail = f"{job.subject}: the authorization is canceled or lapsed at Stripe, the order is not canceled"
    await jobs.finish(conn, job, JobState.DEAD, note=detail)
    await incidents.open_(conn, order.id, IncidentKind.AUTHORIZATION_LOST, detail)


async def _close_failure(conn: Connection, job: Job) -> None:
    """This capture is no trouble any more; another of the same order may be."""
    if not await jobs.others_in_trouble(conn, job):
        await incidents.close(conn, job.order_id, IncidentKind.CAPTURE_FAILED)
