"""Take in what Stripe said: look at the payment, once per event."""

from __future__ import annotations

import structlog

from app.domain.jobs import JobKind
from app.ports import Hint, Services
from app.store import jobs

log = structlog.get_logger()


async def take_hint(services: Services, hint: Hint) -> None:
    """Schedule a look at the hinted payment. Events that came before, or that are not this shop's, do nothing.

    Every event is a job of its own, so that one which comes while an earlier look is under way is looked into
    afterwards, and one that comes twice is not. Order and content of events are not relied on.
    """
    async with services.db.transaction("hint") as conn:
        found = await services.commerce.find_payment(conn, hint)
        if found is None:
            log.info("hint.not_ours", stripe_event=hint.id, type=hint.type, intent_id=hint.intent_id)
            return
        order_id, payment_id = found
        await jobs.schedule(conn, JobKind.LOOK, order_id, [f"{payment_id}:{hint.id}"])
    log.info("hint.taken", stripe_event=hint.id, type=hint.type, order_id=order_id, payment_id=payment_id)
    await services.wakeup.wake()
