"""Probes: alive, and ready to cancel."""

from __future__ import annotations

from litestar import Response, get
from litestar.di import NamedDependency

from app.ports import Services, Unavailable


@get("/health/live")
async def live() -> dict[str, str]:
    """200 as long as the process answers."""
    return {"status": "ok"}


@get("/health/ready")
async def ready(services: NamedDependency[Services]) -> Response[dict[str, str]]:
    """200 when the database answers; 503 says what does not. Redis is not needed to cancel."""
    try:
        async with services.db.transaction("health") as conn:
            await conn.fetchval("select 1")
    except Unavailable as error:
        return Response({"status": "unavailable", "database": str(error)}, status_code=503)
    return Response({"status": "ok"})
