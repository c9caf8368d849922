"""Tell people of incidents, once each when they open and once when they are over."""

from __future__ import annotations

import structlog

from app.domain.incidents import alert
from app.ports import Services
from app.store import alerts, incidents

log = structlog.get_logger()


async def announce_incidents(services: Services, order_id: str | None = None) -> None:
    """Log a CRITICAL line for every incident that has had none, of one order or of all.

    The line is written before the mark is committed: a crash in between says it twice, never not at all. The rows of
    what is told elsewhere are made here too, and delivered by ``deliver_alerts``.
    """
    async with services.db.transaction("announce") as conn:
        new = await incidents.unannounced(conn, order_id)
        for incident in new:
            log.critical(
                alert(incident.kind, incident.order_id),
                order_id=incident.order_id,
                incident=incident.id,
                kind=incident.kind.value,
                detail=incident.detail,
            )
        if new:
            await incidents.mark_announced(conn, new)
        await alerts.raise_new(conn, list(services.alert_channels), order_id)
