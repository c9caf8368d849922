"""Reconcile what Stripe's webhooks are about, once per event."""

from __future__ import annotations

from typing import Final

import structlog

from app.domain.jobs import JobKind
from app.ports import NO_ORIGIN, Connection, Hint, Origin, Services
from app.store import jobs, stripe_events

log = structlog.get_logger()

BATCH: Final = 100


async def take_hint(services: Services, hint: Hint, origin: Origin = NO_ORIGIN) -> None:
    """Schedule a look at the hinted payment or session. Events that came before, or that cannot be this shop's, do
    nothing; one about an intent that no row names yet is kept (Medusa may write its row after Stripe's event).

    Every event is a job of its own, so that one which comes while an earlier look is under way is looked into
    afterwards, and one that comes twice is not. Order and content of events are not relied on.
    """
    async with services.db.transaction("hint") as conn:
        if not await _schedule_look(services, conn, hint, origin):
            if hint.session:
                await stripe_events.keep(conn, hint)
            event = "hint.kept" if hint.session else "hint.not_ours"
            log.info(event, stripe_event=hint.id, type=hint.type, intent_id=hint.intent_id)
            return
    await services.wakeup.wake()


async def retry_pending_hints(services: Services) -> int:
    """Look at kept events again; forget those that a row names now, and those that are a day old. How many looks."""
    scheduled = 0
    async with services.db.transaction("hint.retry") as conn:
        for pending in await stripe_events.due(conn, limit=BATCH):
            found = await _schedule_look(services, conn, pending.hint)
            scheduled += found
            if found or pending.is_over:
                await stripe_events.drop(conn, pending.hint)
            if pending.is_over and not found:
                hint = pending.hint
                log.info("hint.dropped", stripe_event=hint.id, type=hint.type, intent_id=hint.intent_id)
    if scheduled:
        await services.wakeup.wake()
    return scheduled


async def _schedule_look(services: Services, conn: Connection, hint: Hint, origin: Origin = NO_ORIGIN) -> bool:
    found = await services.discovery.find_payment(conn, hint.intent_id, session=hint.session)
    if found is None:
        return False
    order_id, subject = found
    await jobs.schedule(conn, JobKind.LOOK, order_id, [f"{subject}:{hint.id}"], origin=origin)
    log.info("hint.taken", stripe_event=hint.id, type=hint.type, order_id=order_id, payment_id=subject)
    return True
