"""The dramatiq actors: one a kind of job, each on a queue of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import dramatiq
import structlog
from dramatiq import Actor, Broker

from app.domain.jobs import JobKind, JobRef
from app.ports import Services
from app.usecases.run_job import run_job
from workers.broker import QUEUES

JobActor = Actor[..., Any]

log = structlog.get_logger()

_FIRST: Final = (JobKind.VOID, JobKind.CAPTURE, JobKind.REFUND, JobKind.RELEASE, JobKind.LOOK, JobKind.PUBLISH)
"""What a worker takes up first of what waits: a shopper waits for the void, money for the capture."""


def declare_actors(broker: Broker, services: Callable[[], Services]) -> Mapping[JobKind, JobActor]:
    """One actor per ``JobKind``, named after it, on ``broker``.

    A message carries the fields of a ``JobRef``. Messages are not retried: the row knows what is left to do. A
    malformed one is logged and dropped.
    """
    return {kind: _declare(broker, services, kind) for kind in JobKind}


def _declare(broker: Broker, services: Callable[[], Services], kind: JobKind) -> JobActor:
    async def work(*fields: object, **more: object) -> None:
        ref = None if more else JobRef.parse(fields)
        if ref is None:
            log.warning("job.malformed", queue=QUEUES[kind])
        else:
            await run_job(services(), kind, ref)

    priority = _FIRST.index(kind)
    return dramatiq.actor(actor_name=kind.value, queue_name=QUEUES[kind], priority=priority, broker=broker)(work)
