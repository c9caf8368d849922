"""Leave word for the shop's subscribers, in the transaction that made it true."""

from __future__ import annotations

from app.domain.jobs import JobKind
from app.ports import Connection, Event, Services
from app.store import jobs


async def tell_subscribers(services: Services, conn: Connection, order_id: str, event: Event) -> None:
    """Schedule one event, once for ever; nothing where the shop has no event bus that we can reach."""
    if services.policy.publishes_events:
        await jobs.schedule(conn, JobKind.PUBLISH, order_id, [event.subject])
