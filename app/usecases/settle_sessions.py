"""Money of a canceled order that is a payment session, or was one when the order was canceled."""

from __future__ import annotations

from app.domain.incidents import IncidentKind
from app.domain.intents import spell
from app.domain.jobs import JobKind, JobState
from app.domain.money import to_minor_units
from app.domain.order import Order, Payment, PaymentSession
from app.domain.void import needs_void
from app.ports import Connection, LateMoney, Services
from app.store import incidents, jobs


async def settle_sessions(services: Services, conn: Connection, order: Order) -> None:
    """Void sessions that can still be paid, and raise those that were paid and not refunded. Safe to repeat.

    What live orders share is left alone.
    """
    for session in order.own_sessions:
        if needs_void(order, session):
            await _schedule(services, conn, JobKind.VOID, order, session)
        if session.kept > 0:
            await _raise_late_session(services, conn, order, session)


async def _raise_late_session(services: Services, conn: Connection, order: Order, session: PaymentSession) -> None:
    """Open the incident of a session that is paid; schedule its refund by ``LATE_MONEY=refund``."""
    kept = spell(to_minor_units(session.kept, session.currency), session.currency)
    detail = (
        f"{session.id} is paid although the order is canceled, and the shop has no payment for it yet: {kept} received "
        "and not refunded"
    )
    await incidents.open_(conn, order.id, IncidentKind.LATE_MONEY, detail)
    if services.policy.late_money is LateMoney.REFUND:
        await _schedule(services, conn, JobKind.REFUND, order, session)


async def _schedule(services: Services, conn: Connection, kind: JobKind, order: Order, session: PaymentSession) -> None:
    """Schedule the session's job. One that is done is done again: the session tells what Stripe answered it."""
    await jobs.schedule_for_cancel(conn, kind, order, session.id, origin=services.origin)
    await jobs.again(conn, kind, order.id, session.id)


async def void_subject(conn: Connection, order: Order, payment: Payment) -> str:
    """What the payment's void job is about: its session, where the intent has a void job by that name.

    An intent has one job of a kind, so that it is not voided twice.
    """
    session_id = payment.session_id
    if session_id is not None and await _has_job(conn, order, JobKind.VOID, session_id):
        return session_id
    return payment.id


async def reopen_refund(conn: Connection, order: Order, payment: Payment) -> bool:
    """Take up the refund of the payment's session again, which retrieves the intent and makes the payment's rows tell
    what was refunded. ``False`` where the session has none, or the rows tell something already."""
    if payment.refunded > 0 or payment.session_id is None:
        return False
    if not await _has_job(conn, order, JobKind.REFUND, payment.session_id):
        return False
    await jobs.again(conn, JobKind.REFUND, order.id, payment.session_id)
    return True


async def _has_job(conn: Connection, order: Order, kind: JobKind, subject: str) -> bool:
    return any(
        job.subject == subject and job.state is not JobState.DEAD for job in await jobs.of_order(conn, order.id, kind)
    )
