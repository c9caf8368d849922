"""See to the money of a canceled order, whoever canceled it and whatever was captured meanwhile."""

from __future__ import annotations

from app.domain.capture import left_behind
from app.domain.incidents import IncidentKind
from app.domain.jobs import JobKind
from app.domain.order import Order, Payment, PaymentState
from app.domain.owed import kept_of
from app.domain.void import needs_void
from app.ports import Connection, LateMoney, Services
from app.store import incidents, jobs
from app.usecases.settle_sessions import reopen_refund, settle_sessions, void_subject
from app.usecases.settle_shared import settle_shared


async def settle_canceled(services: Services, conn: Connection, order: Order) -> None:
    """Void what is still held, and raise what was captured and not given back.

    ``order`` is canceled and its rows are locked. Medusa's own cancel swallows a failed void and a failed
    refund; this is where both come to light. A capture row that a crash left behind is voided too: Stripe
    tells which of the two it was. Rows around a captured payment are put right. What live orders share with it is
    left alone. Safe to repeat.
    """
    for payment in order.payments:
        if payment.state is PaymentState.CAPTURED:
            await services.payments.mend_capture(conn, order, payment, abandoned=left_behind(order, payment))
        if needs_void(order, payment):
            await _void(services, conn, order, payment)
        is_taken = payment.state in {PaymentState.PARTIALLY_CAPTURED, PaymentState.CAPTURED}
        if is_taken and kept_of(payment) > 0 and not order.sharing(payment):
            await raise_late_money(services, conn, order, payment)
    await settle_sessions(services, conn, order)
    await settle_shared(services, conn, order)


async def _void(services: Services, conn: Connection, order: Order, payment: Payment) -> None:
    """Schedule the payment's void; close it, unless a part of it is captured, so that nobody captures it any more."""
    if payment.state is not PaymentState.PARTIALLY_CAPTURED:
        await services.payments.cancel_payment(conn, payment)
    subject = await void_subject(conn, order, payment)
    if payment.state is PaymentState.HELD:
        await jobs.schedule_again(conn, JobKind.VOID, order.id, [subject], origin=services.origin)
    else:
        await jobs.schedule_for_cancel(conn, JobKind.VOID, order, subject, origin=services.origin)


async def raise_late_money(services: Services, conn: Connection, order: Order, payment: Payment) -> None:
    """A payment turned out captured on a canceled order: an incident, and by ``LATE_MONEY=refund`` one refund.

    Unless live orders share it: then it is for a person to say what is to be refunded.
    """
    if order.sharing(payment):
        await settle_shared(services, conn, order)
        return
    if await reopen_refund(conn, order, payment):
        return
    detail = f"{payment.id} is captured although the order is canceled"
    await incidents.open_(conn, order.id, IncidentKind.LATE_MONEY, detail)
    if services.policy.late_money is LateMoney.REFUND:
        await jobs.schedule_for_cancel(conn, JobKind.REFUND, order, payment.id, origin=services.origin)
