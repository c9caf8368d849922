"""Capture what an order owes of a payment whose grace period is over."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

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
from app.domain.intents import Intent
from app.domain.jobs import PROCESSING_TRIES, Job, JobKind, JobState, processing_delay
from app.domain.order import Order, OrderState, PaymentSession, PaymentState
from app.domain.owed import share_of, uncovered
from app.domain.rival_sessions import CannotCompare, RetrieveSessions, WaitForSession
from app.ports import Answered, Call, PaymentGateway, Unseen
from app.store import incidents, jobs
from app.usecases.capture_step import WHILE_MEDUSA_CAPTURES, CaptureStep
from app.usecases.job_failures import record_failure, record_trouble
from app.usecases.job_run import JobRun, Recording
from app.usecases.judge_capture import raise_overpaid
from app.usecases.settle_canceled import settle_canceled
from app.usecases.settle_shared import hand_over_captures, raise_lost
from app.usecases.stripe_job import NO_ANSWER, Step, run_stripe_job

log = structlog.get_logger()

_WHILE_ANOTHER_IS_CAPTURED: Final = timedelta(seconds=1)


async def capture_payment(run: JobRun, order: Order | None) -> None:
    """Take what is owed of one hold, once, unless the order was canceled first. Its claim is the point of no return."""
    await run_stripe_job(run, order, decide=_decide, put_aside=_decide_under_lock)


def _decide(job: Job, order: Order | None) -> Step[Any] | None:
    if order is None:
        return None
    return _step(job, order, decide_capture(order, job.subject, in_doubt=job.in_doubt))


def _step(job: Job, order: Order, decision: CaptureDecision) -> Step[Any] | None:
    match decision:
        case RetrieveSessions(sessions=sessions):
            return _SessionsStep(sessions)
        case TakeMoney(payment=payment, amount=amount):
            return CaptureStep(job, payment, amount)
        case Compare(payment=payment):
            return CaptureStep(job, payment, share_of(order, payment), compare=True)
        case _:
            return None


async def _decide_under_lock(recording: Recording, retrieved: Collection[str] = ()) -> Step[Any] | None:
    """Decide the capture; where none is made, or not now, say so in the rows."""
    job, order = recording.job, recording.order
    if order is None or order.payment(job.subject) is None:
        await _forgotten(recording)
        return None
    decision = decide_capture(order, job.subject, in_doubt=job.in_doubt, retrieved=retrieved)
    match decision:
        case WaitForMedusa():
            await recording.snooze(WHILE_MEDUSA_CAPTURES, in_doubt=job.in_doubt)
        case WaitForOther():
            await recording.snooze(_WHILE_ANOTHER_IS_CAPTURED, in_doubt=job.in_doubt)
        case WaitForSession(session=session) if job.attempts < PROCESSING_TRIES:
            await recording.snooze(processing_delay(job.attempts), in_doubt=job.in_doubt)
            log.info("capture.session_processing", order_id=order.id, session_id=session.id)
        case WaitForSession(session=session):
            detail = f"{session.id} is still processed by its bank, and the hold beside it is not captured meanwhile"
            await record_trouble(recording, detail)
        case CannotCompare():
            await record_trouble(recording, decision.detail)
        case Skip(reason=reason):
            log.info("capture.skipped", order_id=order.id, payment_id=job.subject, reason=reason.value)
            await _skip(recording, order, reason)
        case _:
            pass
    return _step(job, order, decision)


async def _forgotten(recording: Recording) -> None:
    """End the job of an order that is none. A checkout that failed late deletes its order; the hold may be there still.
    Medusa takes a conversion back, too: the order is a draft again, and the next conversion reopens the job."""
    services, conn, job = recording.services, recording.conn, recording.job
    if recording.order is None and await services.orders.order_exists(conn, job.order_id):
        await recording.finish(JobState.REMOVED, note="the order is a draft again")
        return
    payment = await services.payments.read_payment(conn, job.subject)
    if payment is None or payment.state is not PaymentState.HELD:
        await recording.finish(JobState.REMOVED, note="the order or its payment no longer exists")
        return
    detail = f"{payment.id} is held, but its order is gone: void it by hand"
    await recording.give_up(IncidentKind.CAPTURE_FAILED, detail)


async def _skip(recording: Recording, order: Order, reason: NotWanted) -> None:
    """End the job, and with it the trouble it had: what is left to worry about has an incident of its own."""
    services, conn, job = recording.services, recording.conn, recording.job
    if order.state is OrderState.CANCELED:
        await settle_canceled(services, conn, order)
    await recording.close_failure()
    match reason:
        case NotWanted.ALREADY_CAPTURED:
            await recording.finish(JobState.DONE, note=reason.value)
            await raise_overpaid(conn, order)
        case NotWanted.ORDER_CANCELED:
            await recording.finish(JobState.REMOVED, note=reason.value)
            await hand_over_captures(services, conn, order)
        case NotWanted.PARTIALLY_CAPTURED:
            payment = order.payment(job.subject)
            detail = f"{job.subject}: {payment and payment.captured} of {payment and payment.amount} {order.currency}"
            await recording.finish(JobState.DONE, note=reason.value)
            if order.state is not OrderState.CANCELED and uncovered(order):
                await incidents.open_(conn, order.id, IncidentKind.PARTIAL_CAPTURE, detail)
        case NotWanted.AUTHORIZATION_CANCELED:
            detail = f"{job.subject} was canceled while the order was not"
            lost = await raise_lost(conn, order, job.subject, detail)
            await recording.finish(JobState.DEAD if lost else JobState.REMOVED, note=reason.value)
        case NotWanted.NOTHING_OWED:
            await recording.finish(JobState.REMOVED, note=reason.value)
            await jobs.schedule_again(conn, JobKind.VOID, order.id, [job.subject], origin=services.origin)
        case NotWanted.UNSUPPORTED_PROVIDER:
            detail = f"{job.subject}: this sidecar cannot capture for its provider"
            await recording.give_up(IncidentKind.UNSUPPORTED_PROVIDER, detail, note=reason.value)


@dataclass(frozen=True)
class _SessionsStep(Step[Mapping[str, Intent] | Unseen]):
    """Retrieve the intents of an open order's payment sessions before a hold of the order is captured."""

    sessions: tuple[PaymentSession, ...]
    name = "sessions"

    async def call(self, gateway: PaymentGateway, calls: list[Call]) -> Mapping[str, Intent] | Unseen:
        """Return the intents by session id, or why one of them could not be retrieved."""
        found: dict[str, Intent] = {}
        for session in self.sessions:
            seen = await gateway.look(session.intent_id, calls=calls)
            if not isinstance(seen, Answered):
                return seen
            found[session.id] = seen.intent
        return found

    def no_answer(self) -> Unseen:
        """Nothing was changed."""
        return Unseen(NO_ANSWER)

    async def record(self, recording: Recording, answer: Mapping[str, Intent] | Unseen) -> Step[Any] | None:
        """Write what Stripe answered to the sessions, and decide the capture by that, under a new lease."""
        job, order = recording.job, recording.order
        if isinstance(answer, Unseen):
            await record_failure(recording, answer)
            return None
        if order is not None:
            recording = await _record_sessions(recording, order, answer)
        step = await _decide_under_lock(recording, answer)
        if isinstance(step, _SessionsStep):  # another session was opened meanwhile
            await recording.snooze(_WHILE_ANOTHER_IS_CAPTURED, in_doubt=job.in_doubt)
            return None
        await jobs.renew(recording.conn, job)
        return step


async def _record_sessions(recording: Recording, order: Order, intents: Mapping[str, Intent]) -> Recording:
    """Write the sessions that no payment was made of meanwhile. Return the recording with the order afterwards."""
    services, conn = recording.services, recording.conn
    for session in order.sessions:
        if (intent := intents.get(session.id)) is not None:
            await services.payments.record_session(conn, session, intent)
            log.info("session.retrieved", order_id=order.id, session_id=session.id, intent_state=intent.state.value)
    return Recording(recording.run, conn, await services.orders.read_order(conn, order.id))
