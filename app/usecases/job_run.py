"""One run of a claimed job: what it asks Stripe, the transactions that record it, and how it ends."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import structlog

from app.domain.incidents import INCIDENT_OF, IncidentKind
from app.domain.jobs import Job, JobState
from app.domain.order import Order
from app.ports import Call, Connection, Services
from app.store import events, incidents, jobs

log = structlog.get_logger()


@dataclass
class JobRun:
    """One run. ``outcome`` is not certain before the transaction that wrote it has been committed."""

    services: Services
    job: Job
    calls: list[Call] = field(default_factory=list)
    """Calls to Stripe that no transaction has written yet."""
    outcome: str | None = None
    """``done``, ``removed``, ``dead`` or ``failed``; ``None`` when the job was snoozed or is another worker's now."""
    requests: int = 0
    """Requests to Stripe that it made."""
    claimed_at: float = field(default_factory=time.monotonic)

    @property
    def late(self) -> float:
        """Seconds from the moment when the job was due, by the database's clock, until now."""
        return max(self.job.late, 0.0) + time.monotonic() - self.claimed_at

    @asynccontextmanager
    async def transaction(self, step: str) -> AsyncIterator[Recording | None]:
        """Lock the order, its payments and the job, then read the order; ``None`` when the job is not this worker's.

        The same commit writes the calls that were made before it, also where the job is another worker's by now.
        """
        job = self.job
        async with self.services.db.transaction(f"{job.kind}.{step}") as conn:
            order = await self.services.orders.lock_order(conn, job.order_id)
            recording = await self.recording(conn, order)
            if recording is None:
                log.warning(f"{job.kind}.lease_lost", job=job.id, order_id=job.order_id)
            yield recording
            await self.write_calls(conn)
        self.calls.clear()

    async def recording(self, conn: Connection, order: Order | None = None) -> Recording | None:
        """Lock the job's row until the commit; ``None`` when the job is not this worker's any more."""
        return Recording(self, conn, order) if await jobs.hold(conn, self.job) else None

    async def write_calls(self, conn: Connection) -> None:
        """Write the calls into the order's timeline. They are kept in memory until the commit."""
        if self.calls:
            await events.add_calls(conn, self.job.order_id, self.job.id, self.calls)


@dataclass(frozen=True)
class Recording:
    """A transaction in which the job is this worker's; ``order`` is locked, where there is one."""

    run: JobRun
    conn: Connection
    order: Order | None = None

    @property
    def services(self) -> Services:
        """Those of the run."""
        return self.run.services

    @property
    def job(self) -> Job:
        """The job as it was claimed."""
        return self.run.job

    @property
    def incident(self) -> IncidentKind:
        """The kind of incident that failures of the job open."""
        return INCIDENT_OF[self.job.kind]

    async def complete(self, *, note: str | None = None) -> bool:
        """The job is done; over is the incident that its failures opened, unless another job of the order still fails.
        ``False``, and nothing is written, when the job is not this worker's."""
        if not await jobs.end_well(self.conn, self.job, self.incident, note=note):
            return False
        self.run.outcome = JobState.DONE.value
        return True

    async def finish(self, state: JobState, *, note: str | None = None) -> None:
        """End the job: ``done``, ``removed`` or ``dead``. The incident of its failures stays as it is."""
        await jobs.finish(self.conn, self.job, state, note=note)
        self.run.outcome = state.value

    async def give_up(self, kind: IncidentKind, detail: str, *, note: str | None = None) -> None:
        """End the job as ``dead``, and open the incident that says why."""
        await self.finish(JobState.DEAD, note=note or detail)
        await incidents.open_(self.conn, self.job.order_id, kind, detail)

    async def snooze(self, delay: timedelta, *, in_doubt: bool, new_key: bool = False) -> None:
        """Run the job again after ``delay``; nothing failed."""
        await jobs.snooze(self.conn, self.job, delay, in_doubt=in_doubt, new_key=new_key)

    async def close_failure(self) -> None:
        """Close the incident that the job's failures opened, unless another job of the order still fails."""
        if not await jobs.others_in_trouble(self.conn, self.job):
            await incidents.close(self.conn, self.job.order_id, self.incident)
