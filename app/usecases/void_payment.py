"""Void a hold of a canceled order, or of an open one that owes nothing any more."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Final

import msgspec
import structlog

from app.domain.capture import medusa_captures
from app.domain.incidents import IncidentKind
from app.domain.intents import Intent, Standing, in_words, standing
from app.domain.jobs import CALL_LIMIT, Job, JobKind, JobRef, JobState
from app.domain.order import Order, OrderState, Payment, PaymentState, Provider
from app.domain.owed import kept_of
from app.domain.void import is_left_to_others, is_not_owed, is_to_be_voided
from app.ports import Answered, Connection, Declined, Outcome, Services, Unknown
from app.store import incidents, jobs
from app.usecases.job_failures import record_failure, record_trouble
from app.usecases.judge_capture import raise_overpaid, record_taken
from app.usecases.settle_canceled import raise_late_money
from app.usecases.settle_shared import raise_lost, settle_shared
from app.usecases.void_session import SessionClaim, claim_session, void_session

log = structlog.get_logger()

_WHILE_MEDUSA_CAPTURES: Final = timedelta(seconds=5)


class _Claim(msgspec.Struct, frozen=True):
    job: Job
    order: Order
    payment: Payment
    compare: bool = False
    """Only retrieve the intent: the rows of an open order call the hold canceled, and Stripe knows whether it is."""


async def void_payment(services: Services, ref: JobRef) -> None:
    """Void one hold, once, and keep trying until Stripe says that it is gone. Safe to run any number of times."""
    claim = await _claim(services, ref)
    if isinstance(claim, SessionClaim):
        await void_session(services, claim)
    elif claim is not None:
        await _record(services, claim, await _call(services, claim))
    await services.void_news.tell(ref.order_id)


async def _claim(services: Services, ref: JobRef) -> _Claim | SessionClaim | None:
    async with services.db.single("void.claim") as conn:
        taken = await services.commerce.take_with_order(conn, ref)
    if taken is None:
        log.info("void.stale", job=ref.id, order_id=ref.order_id)
        return None
    job, order = taken
    payment = order.payment(job.subject) if order else None
    is_stripes = payment is not None and payment.provider is Provider.STRIPE
    if order is not None and payment is not None and is_stripes and is_to_be_voided(order, payment):
        return _Claim(job, order, payment)
    if payment is None and (of_session := claim_session(order, job)) is not None:
        return of_session
    return await _put_aside(services, job)


async def _put_aside(services: Services, job: Job) -> _Claim | None:
    """It seems that there is nothing to void, or nobody to ask. Say so in the rows, unless there is after all."""
    async with services.db.transaction("void.unwanted") as conn:
        order = await services.commerce.lock_order(conn, job.order_id)
        if not await jobs.hold(conn, job):
            log.warning("void.lease_lost", job=job.id, order_id=job.order_id)
            return None
        payment = order.payment(job.subject) if order else None
        if order is not None and is_left_to_others(order, job.subject):
            await jobs.finish(conn, job, JobState.REMOVED, note="an order that is not canceled shares it")
            await _close_failure(conn, job)
            await settle_shared(services, conn, order)
            return None
        if order is not None and payment is None and order.session(job.subject) is not None:
            await jobs.finish(conn, job, JobState.REMOVED, note="the order is not canceled any more")
            await _close_failure(conn, job)
            return None
        if order is None or payment is None:
            detail = f"{job.subject} is not a payment of the order any more; its hold is left alone"
            await record_trouble(conn, job, detail, kind=IncidentKind.VOID_FAILED)
            return None
        if order.state is not OrderState.CANCELED:
            return await _put_aside_of_open_order(services, conn, order, payment, job)
        partly = payment.state is PaymentState.PARTIALLY_CAPTURED and payment.provider is not Provider.STRIPE
        if payment.state is PaymentState.CAPTURED or partly:
            await _end_without_hold(conn, job)
            if kept_of(payment) > 0:
                await raise_late_money(services, conn, order, payment)
            return None
        match payment.provider:
            case Provider.STRIPE:
                return _Claim(job, order, payment)
            case Provider.SYSTEM:
                await jobs.end_well(conn, job, IncidentKind.VOID_FAILED)
            case Provider.OTHER:
                await _leave_to_its_provider(conn, order, payment, job)
        return None


async def _put_aside_of_open_order(
    services: Services, conn: Connection, order: Order, payment: Payment, job: Job
) -> _Claim | None:
    """A hold that was not owed, or an order that was opened again: what is owed now is captured, not voided."""
    if payment.state is PaymentState.CANCELED and payment.provider is Provider.STRIPE:
        return _Claim(job, order, payment, compare=True)
    if payment.state is PaymentState.HELD and not is_not_owed(order, payment):
        await jobs.finish(conn, job, JobState.REMOVED, note="the order is open and owes it")
        await jobs.schedule_again(conn, JobKind.CAPTURE, order.id, [payment.id])
        await _close_failure(conn, job)
    elif payment.state is not PaymentState.HELD:
        await _end_without_hold(conn, job)
        await raise_overpaid(conn, order)
    elif payment.provider is Provider.STRIPE:
        return _Claim(job, order, payment)
    elif payment.provider is Provider.SYSTEM:
        await services.commerce.record_release(conn, payment, None)
        await jobs.end_well(conn, job, IncidentKind.VOID_FAILED)
    else:
        await _leave_to_its_provider(conn, order, payment, job)
    return None


async def _end_without_hold(conn: Connection, job: Job) -> None:
    await jobs.end_well(conn, job, IncidentKind.VOID_FAILED, note="captured before it could be voided")


async def _close_failure(conn: Connection, job: Job) -> None:
    if not await jobs.others_in_trouble(conn, job):
        await incidents.close(conn, job.order_id, IncidentKind.VOID_FAILED)


async def _leave_to_its_provider(conn: Connection, order: Order, payment: Payment, job: Job) -> None:
    detail = f"{payment.id}: this sidecar cannot void for provider {payment.provider_id}"
    await jobs.finish(conn, job, JobState.DEAD, note=detail)
    await incidents.open_(conn, order.id, IncidentKind.UNSUPPORTED_PROVIDER, detail)


async def _call(services: Services, claim: _Claim) -> Outcome:
    payment, job = claim.payment, claim.job
    if payment.intent_id is None:
        return Declined(f"{payment.id} has no PaymentIntent in its data")
    try:
        async with asyncio.timeout(CALL_LIMIT.total_seconds()):
            if claim.compare or job.attempts > 1:
                seen = await services.gateway.look(payment.intent_id)
                if not isinstance(seen, Answered) or claim.compare:
                    return seen
                if standing(seen.intent) in {Standing.RELEASED, Standing.TAKEN}:
                    return seen
            return await services.gateway.void(payment.intent_id, key=job.idempotency_key)
    except TimeoutError:
        return Unknown(f"no answer within {CALL_LIMIT.total_seconds():.0f} s")


async def _record(services: Services, claim: _Claim, outcome: Outcome) -> None:
    job = claim.job
    async with services.db.transaction("void.record") as conn:
        order = await services.commerce.lock_order(conn, job.order_id)
        if not await jobs.hold(conn, job):
            log.warning("void.lease_lost", job=job.id, order_id=job.order_id)
            return
        payment = order.payment(job.subject) if order else None
        intent = outcome.intent if isinstance(outcome, (Answered, Declined)) else None
        found = None if intent is None else standing(intent)
        if order is None or payment is None:
            await _record_vanished(conn, job, intent)
        elif intent is not None and found is Standing.RELEASED:
            await _record_released(services, conn, order, payment, job, intent)
        elif intent is not None and found is Standing.TAKEN and medusa_captures(order, payment):
            # Its capture row goes again when it never hears of its success: what it leaves is looked at then.
            await jobs.snooze(conn, job, _WHILE_MEDUSA_CAPTURES, in_doubt=True)
        elif intent is not None and found is Standing.TAKEN:
            await _end_without_hold(conn, job)
            await record_taken(services, conn, order, payment, intent)
        elif claim.compare and order.state is not OrderState.CANCELED and intent is not None:
            detail = f"{payment.id} is canceled, its order is not, and its hold is left alone. {in_words(intent)}"
            await record_trouble(conn, job, detail, kind=IncidentKind.VOID_FAILED)
        else:
            await record_failure(conn, job, outcome, kind=IncidentKind.VOID_FAILED, now=order.read_at)
            log.warning("void.failed", order_id=order.id, payment_id=payment.id, attempt=job.attempts)


async def _record_released(
    services: Services, conn: Connection, order: Order, payment: Payment, job: Job, intent: Intent
) -> None:
    if order.state is OrderState.CANCELED:
        await services.commerce.record_void(conn, payment, intent)
    else:
        await services.commerce.record_release(conn, payment, intent)
    await jobs.end_well(conn, job, IncidentKind.VOID_FAILED)
    log.info("payment.voided", order_id=order.id, payment_id=payment.id)
    if order.state is not OrderState.CANCELED or order.sharing(payment):
        after = await services.commerce.read_order(conn, order.id) or order
        await raise_lost(conn, after, payment.id, f"{payment.id}: its hold was voided")


async def _record_vanished(conn: Connection, job: Job, intent: Intent | None) -> None:
    """The shop has forgotten the payment; the card has not, unless Stripe says that the hold is gone."""
    if intent is not None and standing(intent) is Standing.RELEASED:
        await jobs.end_well(conn, job, IncidentKind.VOID_FAILED, note="voided, and gone from the shop")
        return
    gone = f"{job.subject} vanished from the shop while it was voided; look for its hold at Stripe"
    if intent is not None:
        gone += f". {in_words(intent)}"
    await record_trouble(conn, job, gone, kind=IncidentKind.VOID_FAILED)
