"""Enqueue an event for the shop's subscribers in the caller's transaction (transactional outbox)."""

from __future__ import annotations

from app.ports import Connection, Event, Services
from app.store import jobs


async def tell_subscribers(services: Services, conn: Connection, order_id: str, event: Event) -> None:
    """Schedule one event; nothing where the shop has no event bus that can be reached.

    An event without an occurrence has one job ever. One with an occurrence has one for each: the first under the
    subject without it, which processes of earlier versions can publish too.
    """
    if services.policy.publishes_events:
        await jobs.schedule_event(conn, order_id, event, origin=services.origin)
