"""``grace.cancellations``: who canceled an order, when and why."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from app.domain.cancellation import NewCancellation
from app.domain.receipt import CancellationRecord
from app.ports import Connection
from app.store.sql import statement

WRITE: Final = statement("write_cancellation")
"""For the function that writes a cancel: what is ours of it."""

_FIND: Final = statement("find_cancellation")
_READ: Final = statement("read_cancellation")
_RECENT: Final = statement("recent_cancellations")


def arguments(order_id: str, new: NewCancellation) -> tuple[Any, ...]:
    """Return the parameters of ``write_cancellation``.

    It records a cancellation of ours, removes the order's waiting captures and schedules its jobs, due now. An order
    that the shop opened again and lost again keeps the newest, and jobs of its that are over are done again.
    """
    return (
        order_id,
        new.canceled_by,
        new.reason,
        new.request_id,
        new.reason_label,
        [kind.value for kind, _ in new.jobs],
        [subject for _, subject in new.jobs],
        new.traceparent,
    )


async def made_by_request(conn: Connection, order_id: str, request_id: str) -> bool:
    """Whether that very request canceled the order."""
    return await conn.fetchval(_FIND, order_id, request_id) is not None


async def read(conn: Connection, order_id: str) -> CancellationRecord | None:
    """What was written down about the newest cancellation of ours; ``None`` for one of somebody else's."""
    row = await conn.fetchrow(_READ, order_id)
    return None if row is None else CancellationRecord(**row)


async def since(conn: Connection, look_back: timedelta) -> list[str]:
    """Orders that we canceled, or whose capture ended, within ``look_back``."""
    return [row["order_id"] for row in await conn.fetch(_RECENT, look_back)]
