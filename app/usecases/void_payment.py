"""Let go of a hold of a canceled order."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Final

import msgspec
import structlog

from app.domain.capture import left_behind
from app.domain.incidents import IncidentKind
from app.domain.jobs import CALL_LIMIT, Job, JobRef, JobState
from app.domain.order import Order, OrderState, Payment, PaymentState, Provider
from app.ports import Answered, Connection, Declined, Event, Intent, IntentState, Outcome, Services, Unknown
from app.store import incidents, jobs
from app.usecases.job_failures import record_failure, record_trouble
from app.usecases.settle_canceled import raise_late_money
from app.usecases.tell_subscribers import tell_subscribers

log = structlog.get_logger()

_WHILE_MEDUSA_CAPTURES: Final = timedelta(seconds=5)


class _Claim(msgspec.Struct, frozen=True):
    job: Job
    order: Order
    payment: Payment


async def void_payment(services: Services, ref: JobRef) -> None:
    """Void one hold, once, and keep trying until Stripe says that it is gone. Safe to run any number of times."""
    claim = await _claim(services, ref)
    if claim is not None:
        outcome = await _call(services, claim)
        if not await _record_as_claimed(services, claim, outcome):
            await _record(services, claim, outcome)
    await services.void_news.tell(ref.order_id)


async def _claim(services: Services, ref: JobRef) -> _Claim | None:
    async with services.db.single("void.claim") as conn:
        taken = await services.commerce.take_with_order(conn, ref)
    if taken is None:
        log.info("void.stale", job=ref.id, order_id=ref.order_id)
        return None
    job, order = taken
    payment = order.payment(job.subject) if order else None
    if order is not None and payment is not None and _is_to_be_voided(order, payment):
        return _Claim(job, order, payment)
    return await _put_aside(services, job)


def _is_to_be_voided(order: Order, payment: Payment) -> bool:
    """Rows that say nothing else, and somebody to ask. A partial capture may have been given back: Stripe knows."""
    is_open = order.state is OrderState.CANCELED and payment.state is not PaymentState.CAPTURED
    return is_open and payment.provider is Provider.STRIPE


async def _put_aside(services: Services, job: Job) -> _Claim | None:
    """It seems that there is nothing to void, or nobody to ask. Say so in the rows, unless there is after all."""
    async with services.db.transaction("void.unwanted") as conn:
        order = await services.commerce.lock_order(conn, job.order_id)
        if not await jobs.hold(conn, job):
            log.warning("void.lease_lost", job=job.id, order_id=job.order_id)
            return None
        payment = order.payment(job.subject) if order else None
        if order is None or payment is None or order.state is not OrderState.CANCELED:
            detail = f"{job.subject} is not a payment of a canceled order any more; its hold is left alone"
            await record_trouble(conn, job, detail, kind=IncidentKind.VOID_FAILED)
            return None
        partly = payment.state is PaymentState.PARTIALLY_CAPTURED and payment.provider is not Provider.STRIPE
        if payment.state is PaymentState.CAPTURED or partly:
            await _record_late_money(services, conn, order, payment, job, None)
            return None
        match payment.provider:
            case Provider.STRIPE:
                return _Claim(job, order, payment)
            case Provider.SYSTEM:
                await jobs.end_well(conn, job, IncidentKind.VOID_FAILED)
            case Provider.OTHER:
                detail = f"{payment.id}: this sidecar cannot void for provider {payment.provider_id}"
                await jobs.finish(conn, job, JobState.DEAD, note=detail)
                await incidents.open_(conn, order.id, IncidentKind.UNSUPPORTED_PROVIDER, detail)
        return None


async def _call(services: Services, claim: _Claim) -> Outcome:
    payment, job = claim.payment, claim.job
    if payment.intent_id is None:
        return Declined(f"{payment.id} has no PaymentIntent in its data")
    try:
        async with asyncio.timeout(CALL_LIMIT.total_seconds()):
            if job.attempts > 1:
                seen = await services.gateway.look(payment.intent_id)
                if not isinstance(seen, Answered):
                    return seen
                if seen.intent.state in {IntentState.CANCELED, IntentState.CAPTURED}:
                    return seen
            return await services.gateway.void(payment.intent_id, key=job.idempotency_key)
    except TimeoutError:
        return Unknown(f"no answer within {CALL_LIMIT.total_seconds():.0f} s")


async def _record_as_claimed(services: Services, claim: _Claim, outcome: Outcome) -> bool:
    """The usual record: it is voided, and the order still is as it was. ``False`` when there is more to it."""
    job, order, payment = claim.job, claim.order, claim.payment
    intent = outcome.intent if isinstance(outcome, (Answered, Declined)) else None
    if intent is None or intent.state is not IntentState.CANCELED:
        return False
    async with services.db.single("void.record") as conn:
        done = await services.commerce.finish_void(conn, job, order, payment, intent, calls=services.calls)
    if done:
        services.calls.clear()
        log.info("payment.voided", order_id=order.id, payment_id=payment.id)
    return done


async def _record(services: Services, claim: _Claim, outcome: Outcome) -> None:
    job = claim.job
    async with services.db.transaction("void.record") as conn:
        order = await services.commerce.lock_order(conn, job.order_id)
        if not await jobs.hold(conn, job):
            log.warning("void.lease_lost", job=job.id, order_id=job.order_id)
            return
        payment = order.payment(job.subject) if order else None
        intent = outcome.intent if isinstance(outcome, (Answered, Declined)) else None
        if order is None or payment is None:
            await _record_vanished(conn, job, intent)
        elif intent is not None and intent.state is IntentState.CANCELED:
            await services.commerce.record_void(conn, payment, intent)
            await jobs.end_well(conn, job, IncidentKind.VOID_FAILED)
            log.info("payment.voided", order_id=order.id, payment_id=payment.id)
        elif _medusa_captures(order, payment) and intent is not None and intent.state is IntentState.CAPTURED:
            # Its capture row goes again when it never hears of its success: what it leaves is looked at then.
            await jobs.snooze(conn, job, _WHILE_MEDUSA_CAPTURES, in_doubt=True)
        elif intent is not None and intent.state is IntentState.CAPTURED:
            await _record_late_money(services, conn, order, payment, job, intent)
        else:
            await record_failure(conn, job, outcome, kind=IncidentKind.VOID_FAILED, now=order.read_at)
            log.warning("void.failed", order_id=order.id, payment_id=payment.id, attempt=job.attempts)


def _medusa_captures(order: Order, payment: Payment) -> bool:
    return payment.state is PaymentState.CAPTURE_IN_FLIGHT and not left_behind(order, payment)


async def _record_vanished(conn: Connection, job: Job, intent: Intent | None) -> None:
    """The shop has forgotten the payment; the card has not, unless Stripe says that the hold is gone."""
    if intent is not None and intent.state is IntentState.CANCELED:
        await jobs.end_well(conn, job, IncidentKind.VOID_FAILED, note="voided, and gone from the shop")
        return
    gone = f"{job.subject} vanished from the shop while it was voided; look for its hold at Stripe"
    await record_trouble(conn, job, gone, kind=IncidentKind.VOID_FAILED)


async def _record_late_money(
    services: Services, conn: Connection, order: Order, payment: Payment, job: Job, intent: Intent | None
) -> None:
    """There is no hold left to void: the money was taken. The rows are made to say so, and a person is told."""
    if intent is not None and await services.commerce.record_capture(conn, order, payment, intent):
        await tell_subscribers(services, conn, order.id, Event("payment.captured", payment.id))
    await jobs.end_well(conn, job, IncidentKind.VOID_FAILED, note="captured before it could be voided")
    after = await services.commerce.read_order(conn, order.id) or order
    settled = after.payment(payment.id) or payment
    if settled.refunded < settled.taken:
        await raise_late_money(services, conn, order, payment)
