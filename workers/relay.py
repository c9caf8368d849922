"""Between the rows and the queues: every worker runs one, and they do not get in each other's way."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Final

import structlog
from dramatiq.errors import BrokerConnectionError
from msgspec.structs import astuple
from redis.exceptions import RedisError

from app.domain.jobs import JobKind, JobRef
from app.gateways.redis_wakeup import RedisWakeup
from app.ports import Services, Unavailable
from app.ports.stripe_budget import CLASS_OF, CallClass
from app.usecases.adopt_canceled import adopt_canceled
from app.usecases.announce_incidents import announce_incidents
from app.usecases.deliver_alerts import deliver_alerts
from app.usecases.dispatch_jobs import AT_ONCE, dispatch_jobs, sweep_jobs
from app.usecases.heal_incidents import heal_incidents
from app.usecases.observe_fleet import beat
from app.usecases.recheck_canceled import recheck_canceled
from app.usecases.run_job import run_job
from app.usecases.take_hint import retry_pending_hints
from app.usecases.track_payments import BATCH, start_tracking, track_payments, track_stragglers
from workers.actors import JobActor
from workers.allowance import Allowance
from workers.broker import FIRST, JobBroker, places

log = structlog.get_logger()

POLL: Final = 0.25
"""Seconds between looks for due jobs when nobody knocks."""

BUSY_POLL: Final = 0.05
"""Seconds between looks while there is work: a look at every job's end would cost more than the job."""

PACED: Final = (JobKind.CAPTURE, JobKind.LOOK)
"""Kinds that wait for the budget of requests to Stripe as due rows, before anything is locked or claimed. A loop of its
own queues them, so that no void waits for it."""
PACED_AT_ONCE: Final = 50
"""Of these, jobs of a kind that may wait for a worker at once: their requests are taken from the budget already."""
UNPACED: Final = tuple(kind for kind in JobKind if kind not in PACED)
"""Voids and refunds wait only while voids and refunds use the whole budget, the others never."""

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
        bulk = places(here_at_once)
        self._here = asyncio.Semaphore(bulk)
        self._first_here = asyncio.Semaphore(max(here_at_once - bulk, 1))
        self._allowances: dict[JobKind, Allowance] = {}
        self._running_here: set[asyncio.Task[None]] = set()
        self._knock = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        now = time.monotonic()
        self._due = {step.__name__.strip("_"): now + seconds for step, seconds in UPKEEP.items()} | dict.fromkeys(
            ("dispatch", "dispatch_paced"), now
        )
        """When each step is to have succeeded next, by its name."""

    async def start(self) -> None:
        """Begin. Returns at once."""
        self._allowances = {kind: Allowance(kind, self._services.stripe_budget) for kind in CLASS_OF}
        self._tasks = [
            asyncio.create_task(task)
            for task in (
                self._wakeup.listen(self._knock),
                self._keep_dispatching("dispatch", UNPACED, self._knock),
                self._keep_dispatching("dispatch_paced", PACED, asyncio.Event()),
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

    async def _keep_dispatching(self, name: str, kinds: Sequence[JobKind], wake: asyncio.Event) -> None:
        while True:
            wake.clear()
            sent, more = 0, False
            with self._patience(name, POLL):
                sent, more = await self._dispatch(kinds)
            if more:
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(BUSY_POLL if sent else POLL):
                    await wake.wait()

    async def _dispatch(self, kinds: Sequence[JobKind]) -> tuple[int, bool]:
        """Queue and send due jobs. How many, and whether the budget has more for a kind that used up what it had."""
        allowances = {kind: allowance for kind, allowance in self._allowances.items() if kind in kinds}
        for allowance in allowances.values():
            if allowance.left < 1:
                await allowance.top_up()
        room = {kind: allowances[kind].left if kind in allowances else AT_ONCE for kind in kinds}
        due = await dispatch_jobs(self._services, room, at_once=PACED_AT_ONCE if kinds is PACED else AT_ONCE)
        if due:
            undelivered = await asyncio.to_thread(self._send, due)
            for kind, ref in undelivered:
                self._run_here(kind, ref)
        queued = Counter(kind for kind, _ in due)
        more = False
        for kind, allowance in allowances.items():
            exhausted = 0 < room[kind] <= queued[kind]
            allowance.use(queued[kind])
            await allowance.top_up()
            more |= exhausted and allowance.left > 0 and kinds is not PACED
        return len(due), more

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
            async with self._first_here if kind in FIRST else self._here:
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


async def _observe_pace(services: Services) -> None:
    """Ask for the pace, which another worker's 429 may have lowered, so that the metric shows it."""
    await services.stripe_budget.take(CallClass.RECONCILE, 0)


UPKEEP: Final[Mapping[Step, float]] = {
    _track: 1.0,
    sweep_jobs: 1.0,
    announce_incidents: 0.5,
    deliver_alerts: 1.0,
    beat: 5.0,
    _observe_pace: 5.0,
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
