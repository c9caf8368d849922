"""Compare a payment session with its intent at Stripe."""

from __future__ import annotations

import structlog

from app.domain.intents import Intent, Standing, standing
from app.domain.order import Order, OrderState, PaymentSession
from app.ports import Connection, Services
from app.usecases.heal_incidents import close_late_money_if_settled
from app.usecases.judge_capture import raise_overpaid
from app.usecases.settle_canceled import settle_canceled

log = structlog.get_logger()


async def act_on_session(
    services: Services, conn: Connection, order: Order, session: PaymentSession, intent: Intent
) -> None:
    """Record what became of the intent. Settle it where the order is canceled; the shop makes the payments of others,
    and money beyond what such an order owes is raised."""
    log.info("session.looked_at", order_id=order.id, session_id=session.id, intent_state=intent.state.value)
    if standing(intent) in {Standing.TAKEN, Standing.PARTLY_TAKEN, Standing.RELEASED}:
        await services.payments.record_session(conn, session, intent)
    after = await services.orders.read_order(conn, order.id) or order
    if after.state is not OrderState.CANCELED:
        await raise_overpaid(conn, after)
        return
    await settle_canceled(services, conn, after)
    await close_late_money_if_settled(conn, after)
