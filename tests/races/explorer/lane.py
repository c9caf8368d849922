"""One database in which schedules are played one after another, brought to rest together, and judged."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import asyncpg

from app.usecases.adopt_canceled import adopt_canceled
from app.usecases.dispatch_jobs import dispatch_jobs, sweep_jobs
from app.usecases.heal_incidents import heal_incidents
from app.usecases.recheck_canceled import recheck_canceled
from app.usecases.run_job import run_job
from tests.races.explorer.cases import Case, Nursery, clear
from tests.races.explorer.cast import CAST
from tests.races.explorer.invariants import judge
from tests.races.explorer.pauses import prepare
from tests.races.explorer.plans import Plan, RedisState
from tests.races.explorer.records import Record
from tests.races.explorer.scenarios import SCENARIOS
from tests.races.explorer.seats import TABLE, Seat
from tests.races.explorer.stage import Actor, Stage

_SEATS: Final = 3
_ROUNDS: Final = 8
_PARK: Final = (
    "update grace.jobs set run_at = run_at + interval '1 day', updated_at = updated_at + interval '1 day', "
    "lease_until = lease_until + interval '1 day' "
    "where order_id = $1 and state in ('scheduled', 'queued', 'running') returning kind, state, last_error"
)
"""What a schedule left undone must not meet the sweep of the next one."""
_BRING_FORWARD: Final = (
    "update grace.jobs set run_at = now() - interval '1 second', updated_at = now() - interval '1 minute', "
    "lease_until = case when state = 'running' then now() - interval '1 second' end "
    "where state in ('scheduled', 'queued', 'running')"
)
_LEAVE_BEHIND: Final = (
    "update capture as c set created_at = c.created_at - interval '5 minutes' from payment as p "
    "where p.id = c.payment_id and p.captured_at is null"
)


@dataclass
class Batch:
    """Orders of one scenario that wait for their schedules, and the schedules that were played."""

    nursery: Nursery
    waiting: list[Case]
    records: list[Record] = field(default_factory=list)


class Lane:
    """Plays schedules. ``of`` opens one."""

    def __init__(self, seats: Sequence[Seat], watcher: asyncpg.Connection, *, batch: int) -> None:
        self._seats = seats
        self._watcher = watcher
        self._size = batch
        self._nurseries: dict[str, Nursery] = {}
        self._batch: Batch | None = None
        self._judged: list[Record] = []

    @classmethod
    @asynccontextmanager
    async def of(cls, dsn: str, *, batch: int = 90) -> AsyncIterator[Lane]:
        """A lane in a database with the tables of a shop, of which it may throw away every row."""
        watcher = await asyncpg.connect(dsn)
        seats = [await Seat.take(dsn) for _ in range(_SEATS)]
        try:
            with TABLE.laid():
                await clear(watcher)
                await prepare(watcher)
                yield cls(seats, watcher, batch=batch)
        finally:
            for seat in seats:
                await seat.leave()
            await watcher.close(timeout=5)

    async def play(self, plan: Plan) -> Record:
        """Play a schedule. It is judged with its batch: see ``judged``."""
        batch = await self._batch_of(plan)
        case = batch.waiting.pop()
        record = Record(plan, case)
        case.ours.state = plan.redis
        case.medusas.state = RedisState.WAIT if plan.redis is RedisState.DOWN else plan.redis
        policy = batch.nursery.scenario.policy
        actors = []
        for seat, letter, name in zip(self._seats, plan.letters, plan.actors, strict=False):
            actor = Actor(letter, name, seat.wire.pid, seat.wire.holds)
            seat.sit(case, policy, actor)
            seat.wire.committed = record.committed
            actor.begin(CAST[name](seat, case, letter), seat.wire.bury)
            actors.append(actor)
        record.played = await Stage(actors, self._blockers).play(plan.turns)
        record.actors = actors
        for seat in self._seats:
            seat.wire.actor = None
        record.left = [dict(row) for row in await self._watcher.fetch(_PARK, case.order_id)]
        batch.records.append(record)
        if not batch.waiting:
            await self.finish()
        return record

    async def finish(self) -> None:
        """Bring what was played to rest, and judge it."""
        batch, self._batch = self._batch, None
        if batch is None or not batch.records:
            return
        await self._rest(batch)
        await judge(self._watcher, self._seats[0].bridge.examination, batch.records)
        self._judged += batch.records
        await clear(self._watcher)

    def judged(self) -> list[Record]:
        """Records that were judged since the last call."""
        judged, self._judged = self._judged, []
        return judged

    async def _batch_of(self, plan: Plan) -> Batch:
        name = plan.scenario
        if self._batch is not None and self._batch.nursery.scenario.name != name:
            await self.finish()
        if self._batch is None:
            if name not in self._nurseries:
                self._nurseries[name] = await Nursery.of(self._seats[0].wire.raw, SCENARIOS[name])
            nursery = self._nurseries[name]
            self._batch = Batch(nursery, await nursery.copies(self._watcher, self._size))
        return self._batch

    async def _rest(self, batch: Batch) -> None:
        """Stripe is well, Redis is there, time passes, and the relays and workers do what they do."""
        by_order = {record.case.order_id: record.case for record in batch.records}
        unplayed = [case.order_id for case in batch.waiting]
        await self._watcher.execute("delete from grace.jobs where order_id = any($1::text[])", unplayed)
        await self._watcher.execute("""update "order" set deleted_at = now() where id = any($1::text[])""", unplayed)
        await self._watcher.execute(_LEAVE_BEHIND)
        policy = batch.nursery.scenario.policy
        for case in by_order.values():
            for shelf in (case.ours, case.medusas):
                shelf.keys.clear()
                shelf.state = RedisState.WAIT
        for seat in self._seats:
            seat.sit(batch.records[0].case, policy, None)
            seat.wire.committed = []
        for number in range(_ROUNDS):
            await self._watcher.execute(_BRING_FORWARD)
            services = self._seats[0].services
            await sweep_jobs(services)
            await recheck_canceled(services)
            await adopt_canceled(services)
            await heal_incidents(services)
            due = await dispatch_jobs(services)
            if not due:
                return
            # The first job of an order has its lock, and the others are postponed: so that each is first in some round.
            queue = iter(due if number % 2 == 0 else due[::-1])
            await asyncio.gather(*(self._work(seat, queue, by_order) for seat in self._seats))

    async def _work(self, seat: Seat, queue: object, by_order: dict[str, Case]) -> None:
        for kind, ref in queue:  # type: ignore[attr-defined]
            seat.sit(by_order[ref.order_id], seat.services.policy, None)
            await run_job(seat.services, kind, ref)

    async def _blockers(self, pid: int) -> Sequence[int]:
        found: Sequence[int] = await self._watcher.fetchval("select pg_blocking_pids($1)", pid)
        return found
