"""``grace.incidents``: what needs a person, one open row per order and kind."""

from __future__ import annotations

from typing import Final

import msgspec

from app.domain.incidents import IncidentKind
from app.ports import Connection
from app.store.sql import statement

_OPEN: Final = statement("open_incident")
_CLOSE: Final = statement("close_incident")
_OF_ORDER: Final = statement("open_incidents")
_ORDERS: Final = statement("orders_with_incident")
_UNANNOUNCED: Final = statement("unannounced_incidents")
_MARK: Final = statement("mark_announced")


class Incident(msgspec.Struct, frozen=True):
    """An open incident."""

    id: int
    order_id: str
    kind: IncidentKind
    detail: str


async def open_(conn: Connection, order_id: str, kind: IncidentKind, detail: str) -> None:
    """Open an incident, or renew the detail of the one that is open."""
    await conn.execute(_OPEN, order_id, kind.value, detail[:2000])


async def close(conn: Connection, order_id: str, kind: IncidentKind) -> None:
    """Close the order's open incident of that kind, if there is one."""
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
