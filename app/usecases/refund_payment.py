"""Give back what was captured on a canceled order."""

from __future__ import annotations

import asyncio

import msgspec
import structlog

from app.domain.capture import MEDUSA_FINISHES_WITHIN
from app.domain.incidents import IncidentKind
from app.domain.intents import in_words, is_in
from app.domain.jobs import CALL_LIMIT, Job, JobKind, JobRef, JobState
from app.domain.money import given_back
from app.domain.order import Order, OrderState, Payment, Provider
from app.domain.owed import kept_of
from app.domain.void import is_left_to_others
from app.ports import Answered, Connection, Declined, Event, Outcome, Services, Unknown, Unseen
from app.store import incidents, jobs
from app.usecases.heal_incidents import close_late_money_if_settled, close_refunded
from app.usecases.job_failures import record_failure, record_trouble
from app.usecases.refund_session import record_vanished, refund_session
from app.usecases.settle_shared import settle_shared
from app.usecases.tell_subscribers import tell_subscribers
from app.usecases.void_session import SessionClaim, claim_session

log = structlog.get_logger()


class _Claim(msgspec.Struct, frozen=True):
    job: Job
    payment: Payment


async def refund_payment(services: Services, ref: JobRef) -> None:
    """Refund one late capture, once. Safe to run any number of times."""
    claim = await _claim(services, ref)
    if claim is None:
        return
    if isinstance(claim, SessionClaim):
        await refund_session(services, claim)
        return
    outcome = await _call(services, claim)
    await _record(services, claim, outcome)


async def _claim(services: Services, ref: JobRef) -> _Claim | SessionClaim | None:
    async with services.db.transaction("refund.claim") as conn:
        order = await services.commerce.lock_order(conn, ref.order_id)
        job = await jobs.take(conn, ref)
        if job is None:
            return None
        if order is not None and is_left_to_others(order, job.subject):
            await jobs.finish(conn, job, JobState.REMOVED, note="an order that is not canceled shares it")
            await settle_shared(services, conn, order)
            return None
        payment = order.payment(job.subject) if order else None
        if payment is None and (of_session := claim_session(order, job)) is not None:
            return of_session
        if order is not None and order.state is not OrderState.CANCELED:
            await jobs.finish(conn, job, JobState.REMOVED, note="the order is not canceled any more")
            return None
        if order is None or payment is None:
            gone = f"{job.subject} vanished from the shop before it was refunded; look for its money at Stripe"
            await record_trouble(conn, job, gone, kind=IncidentKind.REFUND_FAILED)
            return None
        if kept_of(payment) == 0 and payment.provider is not Provider.STRIPE:
            await jobs.end_well(conn, job, IncidentKind.REFUND_FAILED, note="refunded by somebody else")
            await close_late_money_if_settled(conn, order)
            return None
        if payment.provider is Provider.OTHER:
            detail = f"{payment.id}: this sidecar cannot refund for provider {payment.provider_id}"
            await jobs.finish(conn, job, JobState.DEAD, note=detail)
            await incidents.open_(conn, order.id, IncidentKind.UNSUPPORTED_PROVIDER, detail)
            return None
        return _Claim(job, payment)


async def _call(services: Services, claim: _Claim) -> Outcome | None:
    """Looks before every refund: what Stripe has given back already is not given back again."""
    payment, job = claim.payment, claim.job
    if payment.provider is Provider.SYSTEM:
        return None
    if payment.intent_id is None:
        return Declined(f"{payment.id} has no PaymentIntent in its data")
    try:
        async with asyncio.timeout(CALL_LIMIT.total_seconds()):
            seen = await services.gateway.look(payment.intent_id)
            if not isinstance(seen, Answered):
                return seen
            if not is_in(seen.intent, payment.currency):
                return Unseen(f"{payment.id} is of {payment.currency.upper()}, and {in_words(seen.intent)}")
            owed = seen.intent.amount_received - seen.intent.amount_refunded
            if owed <= 0:
                return seen
            return await services.gateway.refund(payment.intent_id, amount=owed, key=job.idempotency_key)
    except TimeoutError:
        return Unknown(f"no answer within {CALL_LIMIT.total_seconds():.0f} s")


async def _record(services: Services, claim: _Claim, outcome: Outcome | None) -> None:
    job = claim.job
    async with services.db.transaction("refund.record") as conn:
        order = await services.commerce.lock_order(conn, job.order_id)
        if not await jobs.hold(conn, job):
            return
        payment = order.payment(job.subject) if order else None
        if order is None or payment is None:
            await record_vanished(conn, job, outcome)
            return
        if outcome is not None and not isinstance(outcome, Answered):
            await record_failure(conn, job, outcome, kind=IncidentKind.REFUND_FAILED, now=order.read_at)
            log.warning("refund.failed", order_id=order.id, payment_id=payment.id, attempt=job.attempts)
            return
        refunded = (
            payment.taken
            if outcome is None
            else given_back(outcome.intent.amount_refunded, payment.taken, payment.currency)
        )
        if refund_id := await services.commerce.record_refund(conn, order, payment, refunded):
            await tell_subscribers(services, conn, order.id, Event("payment.refunded", payment.id, refund_id))
        elif outcome is not None:
            await _look_again(conn, order, payment)
        await jobs.end_well(conn, job, IncidentKind.REFUND_FAILED)
        await close_refunded(services, conn, order.id)
        log.info("payment.refunded", order_id=order.id, payment_id=payment.id)


async def _look_again(conn: Connection, order: Order, payment: Payment) -> None:
    """The rows told of the refund before we did: by a row of Medusa's that it takes out again when Stripe,
    which has given the money back to us already, refuses it. When that is over, the rows are compared with Stripe."""
    subject = f"{payment.id}:after-refund"
    await jobs.schedule_again(conn, JobKind.LOOK, order.id, [subject], run_at=order.read_at + MEDUSA_FINISHES_WITHIN)
