"""``grace.pending_stripe_events``: webhooks about intents that no row of the shop's names yet."""

from __future__ import annotations

from typing import Final

import msgspec

from app.ports import Connection, Hint
from app.store.sql import statement

_KEEP: Final = statement("keep_stripe_event")
_DUE: Final = statement("due_stripe_events")
_DROP: Final = statement("drop_stripe_event")

MAX_PENDING: Final = 10_000
"""Rows. Carts that were never completed fill it: their events are deleted after a day."""


class Pending(msgspec.Struct, frozen=True):
    """An event that waits for a row; ``is_over`` when it has waited for a day."""

    hint: Hint
    is_over: bool


async def keep(conn: Connection, hint: Hint) -> None:
    """Keep the event, once, unless ``MAX_PENDING`` wait already."""
    await conn.execute(_KEEP, hint.id, hint.type, hint.intent_id, hint.session, MAX_PENDING)


async def due(conn: Connection, *, limit: int) -> list[Pending]:
    """Events to be looked at now, locked until the commit; those that stay are due again later."""
    return [
        Pending(
            Hint(id=row["event_id"], type=row["type"], intent_id=row["intent_id"], session=row["session_id"]),
            row["is_over"],
        )
        for row in await conn.fetch(_DUE, limit)
    ]


async def drop(conn: Connection, hint: Hint) -> None:
    """Forget the event."""
    await conn.execute(_DROP, hint.id)
