"""How the whole fleet stands: one look at the rows."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from app.domain.fleet import Fleet
from app.ports import Services
from app.store import fleet

OVERDUE_AFTER: Final = timedelta(minutes=1)
"""A capture that is later than this is money at risk."""


async def observe_fleet(services: Services) -> Fleet:
    """What is unfinished now. Raises ``Unavailable`` when the database does not answer."""
    async with services.db.transaction("fleet") as conn:
        jobs = await fleet.jobs(conn)
        alerts = await fleet.alerts(conn)
        oldest_due: dict[tuple[str, ...], float] = {}
        for row in jobs:
            if row["oldest_due"] is not None:
                key = (row["kind"],)
                oldest_due[key] = max(row["oldest_due"], oldest_due.get(key, 0.0))
        return Fleet(
            jobs={(row["kind"], row["state"]): row["number"] for row in jobs},
            oldest_due=oldest_due,
            incidents={(row["kind"],): row["number"] for row in await fleet.incidents(conn)},
            alerts={(row["channel"],): row["number"] for row in alerts},
            oldest_alert={(row["channel"],): row["oldest"] for row in alerts},
            money_at_risk=dict(await services.back_office.money_at_risk(conn, overdue_after=OVERDUE_AFTER)),
            worker_seen=await fleet.last_beat(conn),
        )


async def beat(services: Services) -> None:
    """Note that a worker is at work."""
    async with services.db.transaction("beat") as conn:
        await fleet.beat(conn)
