"""Leave word in an order's timeline that a cancel was refused."""

from __future__ import annotations

import structlog

from app.domain.cancellation import Refused
from app.ports import Services, Unavailable
from app.store import events
from app.usecases.cancel_order import CancelRequest

log = structlog.get_logger()


async def tell_refusal(services: Services, request: CancelRequest, refused: Refused) -> None:
    """Once a minute for the same reason. In a transaction of its own, since a refusal changes nothing; never raises."""
    try:
        async with services.db.transaction("refusal.tell") as conn:
            await events.add_refusal(
                conn,
                request.order_id,
                request_id=request.request_id,
                actor=request.canceled_by,
                reason=refused.reason.value,
            )
    except Unavailable as error:
        log.info("refusal.untold", order_id=request.order_id, error=str(error))
