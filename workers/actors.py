"""The dramatiq actors: one a kind of job, each on a queue of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import dramatiq
from dramatiq import Actor, Broker

from app.domain.jobs import JobKind, JobRef
from app.ports import Services
from app.usecases.run_job import run_job
from workers.broker import QUEUES

JobActor = Actor[[int, int, str], Any]


_FIRST: Final = (JobKind.VOID, JobKind.CAPTURE, JobKind.REFUND, JobKind.RELEASE, JobKind.LOOK, JobKind.PUBLISH)
"""What a worker takes up first of what waits: a shopper waits for the void, money for the capture."""


def declare_actors(broker: Broker, services: Callable[[], Services]) -> Mapping[JobKind, JobActor]:
    """One actor per ``JobKind``, named after it, on ``broker``.

    A message is ``(job id, generation, order id)``. Messages are not retried: the row knows what is left to do.
    """
    return {kind: _declare(broker, services, kind) for kind in JobKind}


def _declare(broker: Broker, services: Callable[[], Services], kind: JobKind) -> JobActor:
    async def work(job_id: int, generation: int, order_id: str) -> None:
        await run_job(services(), kind, JobRef(job_id, generation, order_id))

    priority = _FIRST.index(kind)
    return dramatiq.actor(actor_name=kind.value, queue_name=QUEUES[kind], priority=priority, broker=broker)(work)
