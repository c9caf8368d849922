"""Retrieve the intents of an open order's payment sessions before a hold of the order is captured."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import msgspec
import structlog

from app.domain.intents import Intent
from app.domain.jobs import CALL_LIMIT, Job
from app.domain.order import Order, PaymentSession
from app.ports import Answered, Connection, Services, Unseen

log = structlog.get_logger()


class SessionsClaim(msgspec.Struct, frozen=True):
    """A capture job that is decided once the intents of ``sessions`` are known."""

    job: Job
    sessions: tuple[PaymentSession, ...]


async def retrieve_sessions(services: Services, sessions: Sequence[PaymentSession]) -> Mapping[str, Intent] | Unseen:
    """Return the intents by session id, or why one of them could not be retrieved."""
    found: dict[str, Intent] = {}
    try:
        async with asyncio.timeout(CALL_LIMIT.total_seconds()):
            for session in sessions:
                outcome = await services.gateway.look(session.intent_id)
                if not isinstance(outcome, Answered):
                    return outcome
                found[session.id] = outcome.intent
    except TimeoutError:
        return Unseen(f"no answer within {CALL_LIMIT.total_seconds():.0f} s")
    return found


async def record_sessions(
    services: Services, conn: Connection, order: Order, intents: Mapping[str, Intent]
) -> Order | None:
    """Write what Stripe answered to the sessions that no payment was made of meanwhile. Return the order afterwards."""
    for session in order.sessions:
        if (intent := intents.get(session.id)) is not None:
            await services.commerce.record_session(conn, session, intent)
            log.info("session.retrieved", order_id=order.id, session_id=session.id, intent_state=intent.state.value)
    return await services.commerce.read_order(conn, order.id)
