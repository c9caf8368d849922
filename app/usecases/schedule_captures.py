"""Schedule the captures of holds that were found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from app.domain.incidents import IncidentKind
from app.domain.jobs import JobKind
from app.ports import Connection, NewAuthorization, Services
from app.store import incidents, jobs

START: Final = "payments.start"
"""The cursor that says where the tracking first began."""


async def schedule_captures(services: Services, conn: Connection, found: Sequence[NewAuthorization]) -> None:
    """Schedule each capture for the end of its order's grace period; open the incident of an unsupported provider."""
    due = services.policy.grace_period + services.policy.capture_delay
    await jobs.schedule_many(
        conn, JobKind.CAPTURE, [(new.order_id, new.payment_id, new.placed_at + due) for new in found]
    )
    for new in found:
        if new.unsupported is not None:
            detail = f"{new.payment_id}: {new.unsupported} is none of STRIPE_PROVIDERS; capture or void it by hand"
            await incidents.open_(conn, new.order_id, IncidentKind.UNSUPPORTED_PROVIDER, detail)
