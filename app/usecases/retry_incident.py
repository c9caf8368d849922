"""Try at once what an incident waits for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from app.domain.incidents import INCIDENT_OF, IncidentKind
from app.domain.jobs import JobKind
from app.domain.order import Payment, PaymentSession, Provider
from app.domain.timeline import Act
from app.ports import Services
from app.store import jobs
from app.usecases.operator_acts import Acted, ActRequest, Stage, on_stage, record_act

JOB_OF: Final[Mapping[IncidentKind, JobKind]] = {incident: kind for kind, incident in INCIDENT_OF.items()}
LOOKED_AT: Final = frozenset(
    {
        IncidentKind.LATE_MONEY,
        IncidentKind.PARTIAL_CAPTURE,
        IncidentKind.OVER_CAPTURED,
        IncidentKind.PAYMENT_SHARED,
        IncidentKind.AUTHORIZATION_LOST,
    }
)
"""No job waits for these; a look at Stripe may find that they are over."""


async def retry_incident(services: Services, request: ActRequest) -> Acted:
    """Make the failing jobs of the incident due now, or schedule a look at Stripe. Safe to press twice.

    The rules of a job's row stand: the key stays where Stripe may have done it, and Stripe is looked at first.
    """
    async with on_stage(services, request) as stage:
        if isinstance(stage, Acted):
            return stage
        kind = stage.incident.kind
        if kind not in JOB_OF and kind not in LOOKED_AT:
            return Acted.NOTHING
        if not await record_act(stage, request, Act.RETRY):
            return Acted.BEFORE
        if kind in JOB_OF and await jobs.retry(stage.conn, stage.incident.order_id, JOB_OF[kind]):
            outcome = Acted.DONE
        elif kind in LOOKED_AT:
            outcome = await _look(stage, request)
        else:
            outcome = Acted.BEFORE
    await services.wakeup.wake()
    return outcome


async def _look(stage: Stage, request: ActRequest) -> Acted:
    money: list[Payment | PaymentSession] = []
    if stage.order is not None:
        money = [*stage.order.payments, *stage.order.sessions]
    subjects = [f"{one.id}:{request.token}" for one in money if one.provider is Provider.STRIPE]
    await jobs.schedule(stage.conn, JobKind.LOOK, stage.incident.order_id, subjects, origin=request.origin)
    return Acted.DONE if subjects else Acted.NOTHING
