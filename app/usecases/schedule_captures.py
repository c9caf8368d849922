"""Schedule the captures of holds that were found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import structs

from app.domain.incidents import IncidentKind
from app.domain.jobs import JobKind
from app.ports import Connection, NewAuthorization, Services
from app.store import incidents, jobs

START: Final = "payments.start"
"""The cursor that says where the tracking first began."""


async def schedule_captures(services: Services, conn: Connection, found: Sequence[NewAuthorization]) -> None:
    """Schedule each capture for the end of its order's grace period; open the incident of an unsupported provider."""
    due = services.policy.grace_period + services.policy.capture_delay
    captures = [(new.order_id, new.payment_id, new.placed_at + due) for new in _one_each(found)]
    await jobs.schedule_many(conn, JobKind.CAPTURE, captures)
    for new in found:
        if new.unsupported is not None:
            detail = f"{new.payment_id}: {new.unsupported} is none of STRIPE_PROVIDERS; capture or void it by hand"
            await incidents.open_(conn, new.order_id, IncidentKind.UNSUPPORTED_PROVIDER, detail)


def _one_each(found: Sequence[NewAuthorization]) -> list[NewAuthorization]:
    """One of each hold: of orders that share it, a live one, and as late as the last of the live ones was placed."""
    holds: dict[str, NewAuthorization] = {}
    for new in found:
        other = holds.get(new.payment_id)
        if other is None or (other.is_canceled and not new.is_canceled):
            holds[new.payment_id] = new
        elif other.is_canceled == new.is_canceled:
            holds[new.payment_id] = structs.replace(other, placed_at=max(other.placed_at, new.placed_at))
    return list(holds.values())
