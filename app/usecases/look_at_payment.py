"""Compare a payment with its intent at Stripe, and act on the difference."""

from __future__ import annotations

import asyncio

import msgspec
import structlog

from app.domain.capture import medusa_captures
from app.domain.incidents import IncidentKind
from app.domain.intents import Intent, Standing, is_in, is_kept, standing
from app.domain.jobs import CALL_LIMIT, Job, JobRef, JobState
from app.domain.money import given_back
from app.domain.order import Order, OrderState, Payment, PaymentState, Provider
from app.ports import Answered, Connection, Services, Unseen
from app.store import incidents, jobs
from app.usecases.heal_incidents import close_late_money_if_settled
from app.usecases.job_failures import record_failure
from app.usecases.judge_capture import record_taken
from app.usecases.look_at_session import act_on_session
from app.usecases.settle_canceled import settle_canceled
from app.usecases.settle_shared import raise_lost

log = structlog.get_logger()


class _Claim(msgspec.Struct, frozen=True):
    job: Job
    intent_id: str


async def look_at_payment(services: Services, ref: JobRef) -> None:
    """Find out what became of one payment at Stripe. Safe to run any number of times."""
    claim = await _claim(services, ref)
    if claim is None:
        return
    outcome = await _call(services, claim)
    await _record(services, claim, outcome)


async def _claim(services: Services, ref: JobRef) -> _Claim | None:
    async with services.db.transaction("look.claim") as conn:
        order = await services.commerce.lock_order(conn, ref.order_id)
        job = await jobs.take(conn, ref)
        if job is None:
            return None
        intent_id = _intent_id(order, job)
        if intent_id is None:
            await jobs.finish(conn, job, JobState.REMOVED, note="no payment with an intent that our key is for")
            return None
        return _Claim(job, intent_id)


def _payment_id(job: Job) -> str:
    """The subject is the payment, or the session, and the event that hinted at it."""
    return job.subject.partition(":")[0]


def _intent_id(order: Order | None, job: Job) -> str | None:
    if order is None:
        return None
    found = order.payment(_payment_id(job)) or order.session(_payment_id(job))
    return None if found is None or found.provider is not Provider.STRIPE else found.intent_id


async def _call(services: Services, claim: _Claim) -> Answered | Unseen:
    try:
        async with asyncio.timeout(CALL_LIMIT.total_seconds()):
            return await services.gateway.look(claim.intent_id)
    except TimeoutError:
        return Unseen(f"no answer within {CALL_LIMIT.total_seconds():.0f} s")


async def _record(services: Services, claim: _Claim, outcome: Answered | Unseen) -> None:
    job = claim.job
    async with services.db.transaction("look.record") as conn:
        order = await services.commerce.lock_order(conn, job.order_id)
        if not await jobs.hold(conn, job):
            return
        payment = order.payment(_payment_id(job)) if order else None
        session = order.session(_payment_id(job)) if order else None
        if order is None or (payment is None and session is None):
            await jobs.finish(conn, job, JobState.REMOVED, note="vanished from the shop meanwhile")
        elif isinstance(outcome, Unseen):
            await record_failure(conn, job, outcome, kind=IncidentKind.LOOK_FAILED, now=order.read_at)
        elif payment is None:
            assert session is not None
            await act_on_session(services, conn, order, session, outcome.intent)
            await jobs.end_well(conn, job, IncidentKind.LOOK_FAILED)
        else:
            await _act_on(services, conn, order, payment, outcome.intent)
            await jobs.end_well(conn, job, IncidentKind.LOOK_FAILED)


async def _act_on(services: Services, conn: Connection, order: Order, payment: Payment, intent: Intent) -> None:
    """What Medusa or a job of ours will notice by itself is left to them."""
    log.info("payment.looked_at", order_id=order.id, payment_id=payment.id, intent_state=intent.state.value)
    if order.state is not OrderState.CANCELED:
        await _act_on_open(services, conn, order, payment, intent)
        return
    if standing(intent) in {Standing.TAKEN, Standing.PARTLY_TAKEN} and not medusa_captures(order, payment):
        after = await record_taken(services, conn, order, payment, intent)
        captured = after.payment(payment.id) or payment
        refunded = given_back(intent.amount_refunded, captured.captured, captured.currency)
        if refunded < captured.refunded and is_in(intent, captured.currency):
            detail = f"{payment.id}: Stripe gave back {refunded}, Medusa's rows say {captured.refunded}"
            await incidents.open_(conn, order.id, IncidentKind.REFUND_FAILED, detail)
    elif standing(intent) is Standing.RELEASED and payment.state is PaymentState.HELD and order.sharing(payment):
        await services.commerce.record_void(conn, payment, intent)
    after = await _again(services, conn, order)
    await settle_canceled(services, conn, after)
    if is_in(intent, payment.currency) or not is_kept(intent):  # of another currency, the rows tell nothing
        await close_late_money_if_settled(conn, after)


async def _act_on_open(services: Services, conn: Connection, order: Order, payment: Payment, intent: Intent) -> None:
    match standing(intent):
        case Standing.RELEASED if payment.state is PaymentState.HELD:
            detail = f"{payment.id}: the authorization is canceled or lapsed at Stripe, the order is not canceled"
            await services.commerce.record_void(conn, payment, intent)
            await raise_lost(conn, await _again(services, conn, order), payment.id, detail)
        case Standing.TAKEN if payment.state is PaymentState.PARTIALLY_CAPTURED and not medusa_captures(order, payment):
            await record_taken(services, conn, order, payment, intent)
        case _:
            pass


async def _again(services: Services, conn: Connection, order: Order) -> Order:
    """The order after what this transaction has written; its rows are locked already."""
    return await services.commerce.read_order(conn, order.id) or order
