"""``grace.events``: what happened to an order, for people. Most are written by the statements they tell of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from app.domain.timeline import Act, Event
from app.ports import Call, Connection
from app.store.sql import statement

_REFUSAL: Final = statement("tell_refusal")
_CALLS: Final = statement("tell_calls")
_ACT: Final = statement("tell_act")
_OF_ORDER: Final = statement("order_events")
_NUMBERS: Final = statement("numbers_of_the_day")

_MANY: Final = 400


async def add_refusal(conn: Connection, order_id: str, *, request_id: str, actor: str, reason: str) -> None:
    """A cancel was refused; told once a minute for the same reason."""
    await conn.execute(_REFUSAL, order_id, request_id, actor, reason)


async def add_calls(conn: Connection, order_id: str, job_id: str, calls: Sequence[Call]) -> None:
    """What a job asked Stripe, and what came back, in one statement."""
    details = [detail_of(call) for call in calls]
    await conn.execute(_CALLS, order_id, job_id, details, [call.began_at for call in calls])


def detail_of(call: Call) -> dict[str, Any]:
    """What the timeline keeps of a call."""
    return {
        "verb": call.verb,
        "intent": call.intent_id,
        "outcome": call.outcome,
        "error": call.error,
        "state": call.state,
        "stripe_request": call.request_id,
        "ms": round(call.seconds * 1000),
    }


async def add_act(conn: Connection, order_id: str, act: Act, *, token: str, actor: str, detail: dict[str, Any]) -> bool:
    """What an operator did. ``False`` when the form of that ``token`` was sent before: then do nothing."""
    return await conn.fetchval(_ACT, order_id, act.value, token, actor, detail) is not None


async def of_order(conn: Connection, order_id: str) -> list[Event]:
    """The newest 400 events of an order, newest first."""
    return [
        Event(
            id=row["id"],
            at=row["at"],
            kind=row["kind"],
            job_id=row["job_id"],
            request_id=row["request_id"],
            actor=row["actor"],
            detail=row["detail"],
        )
        for row in await conn.fetch(_OF_ORDER, order_id, _MANY)
    ]


async def numbers_of_the_day(conn: Connection) -> dict[str, int]:
    """``cancels``, ``voids``, ``captures``, ``refunds`` and ``refused_late`` of the last 24 hours."""
    row = await conn.fetchrow(_NUMBERS)
    assert row is not None
    return dict(row)
