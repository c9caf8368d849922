"""Look at orders one by one, so that one which is locked or broken does not keep the others waiting."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import structlog

from app.domain.order import Order
from app.ports import Connection, Services, Unavailable

log = structlog.get_logger()


async def one_by_one(
    services: Services, step: str, order_ids: Sequence[str], act: Callable[[Connection, Order], Awaitable[None]]
) -> None:
    """Lock each order in a transaction of its own and act on it. What fails is logged and left to the next round."""
    for order_id in order_ids:
        try:
            async with services.db.transaction(step) as conn:
                order = await services.orders.lock_order(conn, order_id)
                if order is not None:
                    await act(conn, order)
        except Unavailable as error:
            log.info(f"{step}.later", order_id=order_id, error=str(error))
        except Exception:
            log.exception(f"{step}.failed", order_id=order_id)
