"""Compare a payment session of a canceled order with its intent at Stripe."""

from __future__ import annotations

import structlog

from app.domain.order import Order, OrderState, PaymentSession
from app.ports import Connection, Intent, IntentState, Services
from app.usecases.heal_incidents import close_late_money_if_settled
from app.usecases.settle_canceled import settle_canceled

log = structlog.get_logger()


async def act_on_session(
    services: Services, conn: Connection, order: Order, session: PaymentSession, intent: Intent
) -> None:
    """Record what became of the intent, and settle it. The shop makes the payments of orders that are not canceled."""
    log.info("session.looked_at", order_id=order.id, session_id=session.id, intent_state=intent.state.value)
    if order.state is not OrderState.CANCELED:
        return
    if intent.state in {IntentState.CANCELED, IntentState.CAPTURED}:
        await services.commerce.record_session(conn, session, intent)
    after = await services.commerce.read_order(conn, order.id) or order
    await settle_canceled(services, conn, after)
    await close_late_money_if_settled(conn, after)
