"""Between the rows and the queues: every worker runs one, and they do not get in each other's way."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Final

import structlog
from dramatiq.errors import BrokerConnectionError
from msgspec.structs import astuple
from redis.exceptions import RedisError

from app.domain.jobs import JobKind, JobRef
from app.gateways.redis_wakeup import RedisWakeup
from app.ports import Services, Unavailable
from app.usecases.adopt_canceled import adopt_canceled
from app.usecases.announce_incidents import announce_incidents
from app.usecases.deliver_alerts import deliver_alerts
from app.usecases.dispatch_jobs import dispatch_jobs, sweep_jobs
from app.usecases.heal_incidents import heal_incidents
from app.usecases.observe_fleet import beat
from app.usecases.recheck_canceled import recheck_canceled
from app.usecases.run_job import run_job
from app.usecases.take_hint import retry_pending_hints
from app.usecases.track_payments import BATCH, start_tracking, track_payments, track_stragglers
from workers.actors import JobActor
from workers.broker import JobBroker

log = structlog.get_logger()

POLL: Final = 0.25
"""Seconds between looks for due jobs when nobody knocks."""

BUSY_POLL: Final = 0.05
"""Seconds between looks while there is work: a look at every job's end would cost more than the job."""

SILENT: Final = 60.0
"""Seconds that a step may be late with its next success before this process counts as broken. A database that does not
answer is not its fault: waiting for one counts as a success."""

Step = Callable[[Services], Awaitable[object]]


class Relay:
    """Queues due jobs and sends their messages; finds new payments; puts back what got lost.

    While Redis takes no messages the relay runs the jobs itself, ``here_at_once`` at a time, so that a dead
    Redis costs seconds and nothing else.
    """

    def __init__(
        self,
        services: Services,
        broker: JobBroker,
        actors: Mapping[JobKind, JobActor],
        wakeup: RedisWakeup,
        *,
        here_at_once: int,
    ) -> None:
        self._services = services
        self._broker = broker
        self._actors = actors
        self._wakeup = wakeup
        self._here = asyncio.Semaphore(here_at_once)
        self._running_here: set[asyncio.Task[None]] = set()
        self._knock = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        now = time.monotonic()
        self._due = {step.__name__.strip("_"): now + seconds for step, seconds in UPKEEP.items()} | {"dispatch": now}
        """When each step is to have succeeded next, by its name."""

    async def start(self) -> None:
        """Begin. Returns at once."""
        self._tasks = [
            asyncio.create_task(task)
            for task in (
                self._wakeup.listen(self._knock),
                self._dispatch_for_ever(),
                *(self._every(seconds, step) for step, seconds in UPKEEP.items()),
            )
        ]

    def trouble(self) -> str | None:
        """Name the steps that ended, hang or keep failing; ``None`` while all is well. Safe from any thread."""
        now = time.monotonic()
        late = {step: now - due for step, due in self._due.copy().items() if now - due >= SILENT}
        return "; ".join(f"{step} has not succeeded for {since:.0f} s" for step, since in late.items()) or None

    async def stop(self) -> None:
        """Hand out nothing more, and wait for the jobs that run here."""
        waiting = set(self._tasks)
        while waiting:
            for task in waiting:
                task.cancel()
            # Again and again: a cancellation that meets the end of what it cancels can be lost in a library.
            _, waiting = await asyncio.wait(waiting, timeout=0.5)
        await asyncio.gather(*self._running_here, return_exceptions=True)

    async def _dispatch_for_ever(self) -> None:
        while True:
            self._knock.clear()
            sent = 0
            with self._patience("dispatch", POLL):
                sent = await self._dispatch()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(BUSY_POLL if sent else POLL):
                    await self._knock.wait()

    async def _dispatch(self) -> int:
        due = await dispatch_jobs(self._services)
        if due:
            undelivered = await asyncio.to_thread(self._send, due)
            for kind, ref in undelivered:
                self._run_here(kind, ref)
        return len(due)

    def _send(self, due: list[tuple[JobKind, JobRef]]) -> list[tuple[JobKind, JobRef]]:
        """Send messages until Redis does not answer; the rest is returned, with the one of which it is not known
        whether it arrived: the row lets one of two take it. Runs in a thread: the broker blocks."""
        for number, (kind, ref) in enumerate(due):
            try:
                self._broker.enqueue(self._actors[kind].message(*astuple(ref)))
            except (BrokerConnectionError, RedisError, OSError) as error:
                log.warning("relay.redis_down", undelivered=len(due) - number, error=type(error).__name__)
                return due[number:]
        return []

    def _run_here(self, kind: JobKind, ref: JobRef) -> None:
        async def run() -> None:
            async with self._here:
                await run_job(self._services, kind, ref)

        task = asyncio.create_task(run())
        self._running_here.add(task)
        task.add_done_callback(self._running_here.discard)

    async def _every(self, seconds: float, step: Step) -> None:
        name = step.__name__.strip("_")
        await asyncio.sleep(seconds if step in LATER else 0)
        while True:
            with self._patience(name, seconds):
                await step(self._services)
            await asyncio.sleep(seconds)

    @contextlib.contextmanager
    def _patience(self, step: str, seconds: float) -> Iterator[None]:
        """Log and swallow a step's error: it is tried again in ``seconds``, and one bad row does not end the relay."""
        try:
            yield
        except Unavailable as error:
            log.debug("relay.waiting", step=step, error=str(error))  # who did not answer has been said
        except Exception:
            log.exception("relay.step_failed", step=step)
            return
        self._due[step] = time.monotonic() + seconds


async def _track(services: Services) -> None:
    while await track_payments(services) >= BATCH:
        pass


UPKEEP: Final[Mapping[Step, float]] = {
    _track: 1.0,
    sweep_jobs: 1.0,
    announce_incidents: 0.5,
    deliver_alerts: 1.0,
    beat: 5.0,
    heal_incidents: 10.0,
    recheck_canceled: 5.0,
    adopt_canceled: 10.0,
    track_stragglers: 60.0,
    retry_pending_hints: 5.0,
}
"""What every relay does besides dispatching: each step in a task of its own, with the seconds between its turns."""

LATER: Final[frozenset[Step]] = frozenset({track_stragglers})
"""Steps that wait before their first turn: what is new at the start is for ``_track`` to find."""


async def open_relay(
    services: Services,
    broker: JobBroker,
    actors: Mapping[JobKind, JobActor],
    wakeup: RedisWakeup,
    *,
    here_at_once: int,
) -> Relay:
    """A relay that has begun; on the very first start ever, payments are tracked from one grace period back."""
    async with services.db.transaction("relay.start") as conn:
        now = await conn.fetchval("select now()")
    await start_tracking(services, now)
    relay = Relay(services, broker, actors, wakeup, here_at_once=here_at_once)
    await relay.start()
    return relay
