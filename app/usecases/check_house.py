"""What a cancel needs and what should be there beside it: the database, its tables, somebody at work."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from app.ports import Services, Unavailable
from app.store import fleet
from app.store.migrate import pending_in

SEEN_WITHIN: Final = 30.0
"""Seconds. Workers say every 5 s that they are there."""


class Check(msgspec.Struct, frozen=True):
    """``failed`` when orders cannot be canceled, ``warning`` when something else suffers."""

    status: Literal["ok", "warning", "failed"] = "ok"
    detail: str | None = None


async def check_house(services: Services) -> dict[str, Check]:
    """Checks by name. What cannot be looked at is left out: all else when the database is away, workers
    while a table may be missing."""
    try:
        async with services.db.transaction("health") as conn:
            if await fleet.read_only(conn):
                return {"database": Check(status="failed", detail="the database is read-only")}
            if pending := await pending_in(conn):
                missing = Check(status="failed", detail=f"missing: {', '.join(pending)}")
                return {"database": Check(), "migrations": missing}
            seen = await fleet.last_beat(conn)
    except Unavailable as error:
        return {"database": Check(status="failed", detail=str(error))}
    return {"database": Check(), "migrations": Check(), "worker": _worker(seen)}


def _worker(seen: float | None) -> Check:
    if seen is None:
        return Check(status="warning", detail="none was ever seen")
    if seen > SEEN_WITHIN:
        return Check(status="warning", detail=f"none was seen for {seen:.0f} s")
    return Check()
