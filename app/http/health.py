"""Probes: alive, and ready to cancel; each check by its name."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from litestar import Response, get
from litestar.di import NamedDependency

from app.http.answers import done, specs
from app.http.desk import Desk
from app.usecases.check_house import Check, check_house


class Alive(msgspec.Struct, frozen=True):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Health(msgspec.Struct, frozen=True):
    """``ok``; ``degraded``, when cancels work and something else does not; or ``unavailable``."""

    status: Literal["ok", "degraded", "unavailable"]
    checks: Annotated[
        dict[str, Check],
        msgspec.Meta(description="By name. Redis and workers are not needed to cancel: degraded, when they are away."),
    ]


_WELL: Final = dict.fromkeys(("database", "migrations", "worker", "redis"), Check())
_AWAY: Final = {"database": Check(status="failed", detail="health: ConnectionRefusedError"), "redis": Check()}
_READY: Final = specs(
    done(
        "ok",
        "the database answers",
        Health("ok", _WELL),
    ),
    done("unavailable", "it does not", Health("unavailable", _AWAY), status=503),
)


@get(
    "/health/live",
    operation_id="live",
    summary="Is the process alive?",
    description="",
    responses=specs(done("ok", "as long as the process answers", Alive())),
)
async def live() -> Alive:
    """200 as long as the process answers."""
    return Alive()


@get(
    "/health/ready",
    operation_id="ready",
    summary="Can orders be canceled?",
    description="Redis is not needed to.",
    responses=_READY,
)
async def ready(desk: NamedDependency[Desk]) -> Response[Health]:
    """200 when orders can be canceled; 503 when not. Redis and workers are not needed for that."""
    checks = await check_house(desk.services)
    checks["redis"] = Check() if await desk.limits.reachable() else Check(status="warning", detail="no answer")
    if any(check.status == "failed" for check in checks.values()):
        return Response(Health("unavailable", checks), status_code=503)
    degraded = any(check.status == "warning" for check in checks.values())
    return Response(Health("degraded" if degraded else "ok", checks))
