"""The numbers of the last 24 hours."""

from __future__ import annotations

from app.ports import Services
from app.store import events


async def count_day(services: Services) -> dict[str, int]:
    """``cancels``, ``voids``, ``captures``, ``refunds`` and ``refused_late``."""
    async with services.db.transaction("operator.numbers") as conn:
        return await events.numbers_of_the_day(conn)
