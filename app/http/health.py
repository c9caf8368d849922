"""Probes: alive, and ready to cancel; each check by its name."""

from __future__ import annotations

import msgspec
from litestar import Response, get
from litestar.di import NamedDependency

from app.http.desk import Desk
from app.usecases.check_house import Check, check_house


class Health(msgspec.Struct, frozen=True):
    """``ok``; ``degraded``, when cancels work and something else does not; or ``unavailable``."""

    status: str
    checks: dict[str, Check]


@get("/health/live")
async def live() -> dict[str, str]:
    """200 as long as the process answers."""
    return {"status": "ok"}


@get("/health/ready")
async def ready(desk: NamedDependency[Desk]) -> Response[Health]:
    """200 when orders can be canceled; 503 when not. Redis and workers are not needed for that."""
    checks = await check_house(desk.services)
    checks["redis"] = Check() if await desk.limits.reachable() else Check(status="warning", detail="no answer")
    if any(check.status == "failed" for check in checks.values()):
        return Response(Health("unavailable", checks), status_code=503)
    degraded = any(check.status == "warning" for check in checks.values())
    return Response(Health("degraded" if degraded else "ok", checks))
