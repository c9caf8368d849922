"""Deliver what people are to be told: claim, call, record."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

import msgspec
import structlog

from app.domain.incidents import IncidentKind, alert_delay
from app.domain.money import from_minor_units, to_minor_units
from app.domain.order import Order, Provider
from app.ports import Answered, IntentState, Services
from app.store import alerts
from app.store.alerts import ClaimedAlert
from app.telling import Alert, AlertChannel, AlertEvent

log = structlog.get_logger()

AT_ONCE: Final = 10
LEASE: Final = timedelta(seconds=45)
"""Longer than one attempt, of which the receiver has 10 s: what a killed worker claimed goes out after this."""

_SEND_LIMIT: Final = 15.0
_LOOK_LIMIT: Final = 3.0
"""Seconds that Stripe has to say when a hold lapses. Often Stripe is the very trouble."""

_WITH_A_HOLD: Final = {IncidentKind.VOID_FAILED, IncidentKind.CAPTURE_FAILED}


class _Claim(msgspec.Struct, frozen=True):
    claimed: ClaimedAlert
    order: Order | None


async def deliver_alerts(services: Services) -> None:
    """Send what is due on every channel, each alert at least once under one message id. A receiver that is dead costs
    its own alerts time, and nobody else."""
    await asyncio.gather(*(_serve(services, name, channel) for name, channel in services.alert_channels.items()))


async def _serve(services: Services, name: str, channel: AlertChannel) -> None:
    async with services.db.transaction("alerts.claim") as conn:
        claims = [
            _Claim(claimed, await services.orders.read_order(conn, claimed.order_id))
            for claimed in await alerts.claim(conn, name, limit=AT_ONCE, lease=LEASE)
        ]
    await asyncio.gather(*(_deliver(services, name, channel, claim) for claim in claims))


async def _deliver(services: Services, name: str, channel: AlertChannel, claim: _Claim) -> None:
    structlog.contextvars.bind_contextvars(order_id=claim.claimed.order_id)  # of this task alone
    with services.tracing.span(f"alert {name}"):
        error = await _send(services, channel, claim)
    claimed = claim.claimed
    async with services.db.transaction("alerts.record") as conn:
        if error is None:
            await alerts.delivered(conn, claimed)
        else:
            await alerts.failed(conn, claimed, delay=alert_delay(claimed.attempts), error=error)
    if error is None:
        log.info("alert.delivered", channel=name, alert_event=claimed.event.value, incident=claimed.incident_id)
    else:
        log.warning(
            "alert.not_delivered", channel=name, incident=claimed.incident_id, attempt=claimed.attempts, error=error
        )


async def _send(services: Services, channel: AlertChannel, claim: _Claim) -> str | None:
    try:
        async with asyncio.timeout(_SEND_LIMIT):
            return await channel.send(await _compose(services, claim))
    except TimeoutError:
        return "no answer in time"


async def _compose(services: Services, claim: _Claim) -> Alert:
    claimed, order = claim.claimed, claim.order
    opened = claimed.event is AlertEvent.OPENED
    has_hold = opened and claimed.kind in _WITH_A_HOLD
    return Alert(
        message_id=claimed.message_id,
        event=claimed.event,
        incident_id=claimed.incident_id,
        order_id=claimed.order_id,
        kind=claimed.kind,
        opened_at=claimed.opened_at,
        resolved_at=None if opened else claimed.closed_at,
        amount=_sum(order),
        currency=order.currency.lower() if order else None,
        hold_lapses_at=await _lapse(services, order) if has_hold and order else None,
    )


def _sum(order: Order | None) -> Decimal | None:
    """As the shopper's bank shows it, not as Medusa computes it."""
    if order is None:
        return None
    minor = sum(to_minor_units(payment.amount, payment.currency) for payment in order.payments)
    return from_minor_units(minor, order.currency)


async def _lapse(services: Services, order: Order) -> datetime | None:
    """The first of the order's holds to lapse, if Stripe says so at once."""
    held = [p.intent_id for p in order.payments if p.provider is Provider.STRIPE and p.intent_id and not p.captured]
    await services.stripe_budget.charge(len(held[:5]))
    try:
        async with asyncio.timeout(_LOOK_LIMIT):
            seen = await asyncio.gather(*(services.gateway.look(intent_id) for intent_id in held[:5]))
    except TimeoutError:
        return None
    intents = [answer.intent for answer in seen if isinstance(answer, Answered)]
    return min((i.lapses_at for i in intents if i.state is IntentState.HELD and i.lapses_at), default=None)
