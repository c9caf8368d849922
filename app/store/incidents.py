"""``grace.incidents``: what needs a person, one open row per order and kind."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import asyncpg
import msgspec

from app.domain.incidents import IncidentKind
from app.domain.jobs import JobState
from app.ports import Connection
from app.store.sql import statement

_OPEN: Final = statement("open_incident")
_CLOSE: Final = statement("close_incident")
_OF_ORDER: Final = statement("open_incidents")
_ORDERS: Final = statement("orders_with_incident")
_UNANNOUNCED: Final = statement("unannounced_incidents")
_MARK: Final = statement("mark_announced")
_LIST: Final = statement("list_incidents")
_ONE: Final = statement("one_incident")
_SETTLE: Final = statement("settle_incident")
_COUNT: Final = statement("count_incidents")

LISTED_AT_MOST: Final = 500
"""Of the newest."""


class Incident(msgspec.Struct, frozen=True):
    """An open incident."""

    id: int
    order_id: str
    kind: IncidentKind
    detail: str


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """An incident as an operator sees it, with the job that works on it."""

    id: int
    order_id: str
    kind: IncidentKind
    detail: str
    opened_at: datetime
    closed_at: datetime | None
    closed_by: str | None
    note: str | None
    job_state: JobState | None = None
    last_error: str | None = None
    run_at: datetime | None = None
    attempts: int | None = None
    refund_on_its_way: bool = False


async def open_(conn: Connection, order_id: str, kind: IncidentKind, detail: str) -> None:
    """Open an incident, or renew the detail of the one that is open; not where a person has settled this very one."""
    await conn.execute(_OPEN, order_id, kind.value, detail[:2000])


async def close(conn: Connection, order_id: str, kind: IncidentKind) -> None:
    """Close the order's open incident of that kind, if there is one: the trouble is over."""
    await conn.execute(_CLOSE, order_id, kind.value)


async def open_of(conn: Connection, order_id: str) -> set[IncidentKind]:
    """What is open for an order."""
    return {IncidentKind(row["kind"]) for row in await conn.fetch(_OF_ORDER, order_id)}


async def some_orders_with(conn: Connection, kind: IncidentKind) -> list[str]:
    """Up to 200 orders with an open incident of that kind, others each time."""
    return [row["order_id"] for row in await conn.fetch(_ORDERS, kind.value)]


async def unannounced(conn: Connection, order_id: str | None = None) -> list[Incident]:
    """Incidents nobody was told of yet, locked until the commit."""
    rows = await conn.fetch(_UNANNOUNCED, order_id)
    return [Incident(row["id"], row["order_id"], IncidentKind(row["kind"]), row["detail"]) for row in rows]


async def mark_announced(conn: Connection, incidents: list[Incident]) -> None:
    """People were told of these."""
    await conn.execute(_MARK, [incident.id for incident in incidents])


async def listed(
    conn: Connection,
    *,
    open_only: bool,
    order_id: str | None = None,
    limit: int = LISTED_AT_MOST,
    kind: IncidentKind | None = None,
) -> list[Seen]:
    """Open incidents, or those that were closed within a week, newest first."""
    rows = await conn.fetch(_LIST, order_id, open_only, limit, None if kind is None else kind.value)
    return [_seen(row) for row in rows]


async def count_open(conn: Connection) -> dict[IncidentKind, int]:
    """How many are open, by kind."""
    return {IncidentKind(row["kind"]): row["number"] for row in await conn.fetch(_COUNT)}


async def one(conn: Connection, incident_id: int) -> Seen | None:
    """An incident, open or closed, without its job."""
    row = await conn.fetchrow(_ONE, incident_id)
    return None if row is None else _seen(row)


async def settle(conn: Connection, incident_id: int, *, closed_by: str, note: str) -> None:
    """Close an incident on a person's word. It opens anew only when something else is the matter."""
    await conn.execute(_SETTLE, incident_id, closed_by, note)


def _seen(row: asyncpg.Record) -> Seen:
    values: dict[str, Any] = dict(row)
    values["kind"] = IncidentKind(row["kind"])
    if values.get("job_state") is not None:
        values["job_state"] = JobState(row["job_state"])
    return Seen(**values)
