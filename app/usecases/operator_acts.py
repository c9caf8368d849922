"""What every act of an operator has in common: who, which form, under which lock, and what came of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import StrEnum
from typing import Any

import msgspec
import structlog

from app.domain.order import Order
from app.domain.timeline import Act
from app.ports import NO_ORIGIN, Connection, Origin, Services
from app.store import events, incidents
from app.store.incidents import Seen

log = structlog.get_logger()


class ActRequest(msgspec.Struct, frozen=True, kw_only=True):
    """An act on an incident by somebody who may."""

    incident_id: int
    actor: str
    token: str
    """Made with the form: the same form sent twice is one act."""
    origin: Origin = NO_ORIGIN


class Acted(StrEnum):
    """What came of an act."""

    DONE = "done"
    BEFORE = "before"
    """This very form was sent before, or somebody else has done it: nothing more was done."""
    CLOSED = "closed"
    """The incident is closed already."""
    NOTHING = "nothing"
    """There is nothing that the act could do about this incident."""
    UNKNOWN = "unknown"
    """No such incident."""


class Stage(msgspec.Struct, frozen=True):
    """An act's transaction, with the order's rows locked."""

    conn: Connection
    incident: Seen
    order: Order | None
    """``None`` when the shop has lost it."""


@asynccontextmanager
async def on_stage(services: Services, request: ActRequest) -> AsyncIterator[Stage | Acted]:
    """The act's one transaction: order and payments locked first, as everywhere, then the incident read afresh.

    Gives ``Acted`` instead of a stage when there is no such incident, or none that is open.
    """
    async with services.db.transaction("operator.act") as conn:
        found = await incidents.one(conn, request.incident_id)
        if found is None:
            yield Acted.UNKNOWN
            return
        order = await services.orders.lock_order(conn, found.order_id)
        incident = await incidents.one(conn, request.incident_id)
        assert incident is not None, "incidents are never deleted"
        yield Stage(conn, incident, order) if incident.closed_at is None else Acted.CLOSED


async def record_act(stage: Stage, request: ActRequest, act: Act, **detail: Any) -> bool:
    """Write down who does what. ``False`` when this form was sent before."""
    incident = stage.incident
    told = {"incident": incident.kind.value, "incident_id": incident.id, **detail}
    new = await events.add_act(
        stage.conn, incident.order_id, act, token=request.token, actor=request.actor, detail=told
    )
    if new:
        log.info(f"operator.{act.value}", order_id=incident.order_id, incident=incident.id, actor=request.actor)
    return new
