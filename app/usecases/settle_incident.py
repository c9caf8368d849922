"""Close an incident because a person has seen to it."""

from __future__ import annotations

from app.domain.timeline import Act
from app.ports import Services
from app.store import incidents
from app.usecases.operator_acts import Acted, ActRequest, on_stage, record_act


async def settle_incident(services: Services, request: ActRequest, *, name: str, note: str) -> Acted:
    """Close the incident with a name and a note. Safe to press twice.

    Jobs go on, and find for themselves what was done. The incident opens anew only when something else is the
    matter than when it was settled; what the money is stays for everybody to see, ``doctor`` names it.
    """
    async with on_stage(services, request) as stage:
        if isinstance(stage, Acted):
            return stage
        if not await record_act(stage, request, Act.SETTLE, name=name, note=note):
            return Acted.BEFORE
        await incidents.settle(stage.conn, stage.incident.id, closed_by=f"{name} ({request.actor})", note=note)
        return Acted.DONE
