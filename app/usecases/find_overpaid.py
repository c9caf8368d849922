"""Find open orders that more money arrived for than they owe, whatever wrote its rows."""

from __future__ import annotations

from typing import Final

from app.ports import Services
from app.store import cursors
from app.usecases.find_late_money import WINDOW, watching_since

WALK: Final = "money.overpaid"


async def find_overpaid(services: Services) -> list[str]:
    """Return the overpaid ones of the next ``WINDOW`` orders. Walks round all orders, as ``find_kept_money``."""
    async with services.db.transaction("overpaid.walk") as conn:
        await cursors.start(conn, WALK, "")
        position = await cursors.take(conn, WALK)
        if position is None:
            return []
        since = await watching_since(services, conn)
        order_ids, reached = await services.reconciliation.overpaid_orders(
            conn, after=position, window=WINDOW, since=since
        )
        await cursors.move(conn, WALK, reached)
    return list(order_ids)
