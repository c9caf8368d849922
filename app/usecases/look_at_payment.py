"""Compare a payment with its intent at Stripe, and act on the difference."""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from app.domain.capture import medusa_captures
from app.domain.incidents import IncidentKind
from app.domain.intents import Intent, Standing, is_in, is_kept, standing
from app.domain.jobs import Job, JobState
from app.domain.money import given_back
from app.domain.order import Order, OrderState, Payment, PaymentSession, PaymentState, Provider
from app.ports import Answered, Call, Connection, Outcome, PaymentGateway, Services, Unseen
from app.store import incidents
from app.usecases.heal_incidents import close_late_money_if_settled
from app.usecases.job_failures import record_failure
from app.usecases.job_run import JobRun, Recording
from app.usecases.judge_capture import record_taken
from app.usecases.look_at_session import act_on_session
from app.usecases.settle_canceled import settle_canceled
from app.usecases.settle_shared import raise_lost
from app.usecases.stripe_job import NO_ANSWER, IntentStep, run_stripe_job

log = structlog.get_logger()


async def look_at_payment(run: JobRun, order: Order | None) -> None:
    """Find out what became of one payment or session at Stripe."""
    await run_stripe_job(run, order, decide=_decide, put_aside=_put_aside)


def _decide(job: Job, order: Order | None) -> _LookStep | None:
    money = _money(job, order)
    is_ours = money is not None and money.provider is Provider.STRIPE and money.intent_id is not None
    return _LookStep(job, money, compare=True) if money is not None and is_ours else None


def _money(job: Job, order: Order | None) -> Payment | PaymentSession | None:
    """The subject is the payment, or the session, and the event that hinted at it."""
    money_id = job.subject.partition(":")[0]
    return None if order is None else order.payment(money_id) or order.session(money_id)


async def _put_aside(recording: Recording) -> _LookStep | None:
    step = _decide(recording.job, recording.order)
    if step is None:
        await recording.finish(JobState.REMOVED, note="no payment with an intent that our key is for")
    return step


@dataclass(frozen=True)
class _LookStep(IntentStep):
    """Retrieve the intent, and act on what its rows do not say."""

    async def act(self, gateway: PaymentGateway, calls: list[Call], intent_id: str, seen: Answered | None) -> Outcome:  # noqa: ARG002
        """Change nothing."""
        assert seen is not None
        return seen

    def no_answer(self) -> Outcome:
        """Nothing was changed."""
        return Unseen(NO_ANSWER)

    async def record(self, recording: Recording, answer: Outcome | None) -> None:
        """Record what the intent says."""
        services, conn, order = recording.services, recording.conn, recording.order
        money = _money(recording.job, order)
        if order is None or money is None or answer is None:
            await recording.finish(JobState.REMOVED, note="vanished from the shop meanwhile")
        elif not isinstance(answer, Answered):
            await record_failure(recording, answer)
        else:
            if isinstance(money, Payment):
                await _act_on(services, conn, order, money, answer.intent)
            else:
                await act_on_session(services, conn, order, money, answer.intent)
            await recording.complete()


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
        await services.payments.record_void(conn, payment, intent)
    after = await _again(services, conn, order)
    await settle_canceled(services, conn, after)
    if is_in(intent, payment.currency) or not is_kept(intent):  # of another currency, the rows tell nothing
        await close_late_money_if_settled(conn, after)


async def _act_on_open(services: Services, conn: Connection, order: Order, payment: Payment, intent: Intent) -> None:
    match standing(intent):
        case Standing.RELEASED if payment.state is PaymentState.HELD:
            detail = f"{payment.id}: the authorization is canceled or lapsed at Stripe, the order is not canceled"
            await services.payments.record_void(conn, payment, intent)
            await raise_lost(conn, await _again(services, conn, order), payment.id, detail)
        case Standing.TAKEN if payment.state is PaymentState.PARTIALLY_CAPTURED and not medusa_captures(order, payment):
            await record_taken(services, conn, order, payment, intent)
        case _:
            pass


async def _again(services: Services, conn: Connection, order: Order) -> Order:
    """The order after what this transaction has written; its rows are locked already."""
    return await services.orders.read_order(conn, order.id) or order
