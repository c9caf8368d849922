"""Postgres as an actor meets it: the real connection, with a point ahead of every statement and every commit."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

import asyncpg

from app.domain.jobs import JobRef
from app.ports import Connection
from app.store import cancellations, jobs
from app.store.database import PostgresDatabase
from plugins.medusa_bridge import at_once, orders
from plugins.medusa_bridge.sqlfile import statement
from tests.races.explorer.labels import label, writes
from tests.races.explorer.plans import Fate
from tests.races.explorer.stage import Actor, Died

CANCEL_ORDER = statement("cancel_order")
WRITE_CANCELLATION = cancellations.WRITE

_UNSEEN: Final = {"cancel.outcome", "announce", "job.foreign"}
"""Transactions that read what others may change at any time, and decide nothing."""

_TIMEOUTS: Final = re.compile(r"timeout = \d+")
"""Who waits for a row waits for its turn, however slow the machine."""

_FEW: Final = {
    "medusa.credit": (
        "select 1 from order_change",
        'SELECT to_jsonb(t)::text FROM "order_summary"',
        "UPDATE",
        "commit",
    ),
}
"""Long transactions of Medusa's of which only these statements are points: the others touch what is theirs alone."""


@dataclass
class Transaction:
    """What one transaction did."""

    letter: str
    name: str
    statements: set[str] = field(default_factory=set)
    writes: list[str] = field(default_factory=list)
    taken: list[tuple[JobRef, JobRef]] = field(default_factory=list)
    """Jobs it claimed, as the row is and as the message says."""


class Wire:
    """One connection of a lane. Without an actor everything passes at once."""

    def __init__(self, raw: asyncpg.Connection) -> None:
        self.raw = raw
        self.actor: Actor | None = None
        self.open: Transaction | None = None
        self.committed: list[Transaction] = []
        self._name = ""
        self._base = PostgresDatabase(_Pool(self), acquire_timeout=2.0)  # type: ignore[arg-type]

    @classmethod
    async def connect(cls, dsn: str) -> Wire:
        """A connection that cuts rings of rows quickly."""
        raw = await asyncpg.connect(dsn, statement_cache_size=400, server_settings={"deadlock_timeout": "60ms"})
        await raw.set_type_codec("jsonb", schema="pg_catalog", encoder=json.dumps, decoder=json.loads)
        return cls(raw)

    @property
    def pid(self) -> int:
        """The backend's process id."""
        return int(self.raw.get_server_pid())

    def holds(self) -> bool:
        """Whether a transaction is open that others may have to wait for."""
        return self.open is not None

    crowded = False

    def transaction(self, name: str) -> AbstractAsyncContextManager[Connection]:
        """``app.ports.Database``."""
        self._name = name
        return self._base.transaction(name)

    def read(self, name: str) -> AbstractAsyncContextManager[Connection]:
        """``app.ports.Database``."""
        self._name = name
        return self._base.read(name)

    def single(self, name: str) -> AbstractAsyncContextManager[Connection]:
        """``app.ports.Database``."""
        self._name = name
        return self._base.single(name)

    def name_next(self, name: str) -> None:
        """What to call what comes next, where no ``transaction`` names it."""
        self._name = name

    async def bury(self) -> None:
        """What Postgres does when the process at the other end is gone."""
        if self.open is not None:
            self.open = None
            await self.raw.execute("rollback")

    async def step(self, what: str, ready: Callable[[], bool] | None = None) -> Fate | None:
        """A point of the actor, if somebody plays."""
        return None if self.actor is None else await self.actor.reach(what, ready)

    async def run(self, statement: str, act: Callable[[], Awaitable[Any]]) -> Any:
        """One statement of the actor."""
        match statement.partition(" ")[0].lower():
            case "begin":
                if self.actor is not None and self.actor.dead:
                    raise Died
                self.open = Transaction(self.actor.letter if self.actor else "-", self._name)
                return await self.raw.execute(_TIMEOUTS.sub("timeout = 60000", statement))
            case "rollback":
                await self._roll_back()
                return None
        fate = None
        if self._is_point(statement):
            fate = await self.step(f"{self._name}: {label(statement)}")
        if fate is Fate.DROPPED:
            await self._drop()
        result = await act()
        if writes(statement):
            if self.open is None:  # a transaction of its own
                self.committed.append(Transaction(self.actor.letter if self.actor else "-", self._name))
            (self.open or self.committed[-1]).writes.append(label(statement))
        if statement == "commit":
            self._committed()
        if fate is Fate.UNANSWERED:
            await self._drop()
        return result

    def _is_point(self, statement: str) -> bool:
        """A statement that a transaction repeats, once for each kind of job, is one point."""
        if self._name in _UNSEEN or not statement.startswith(_FEW.get(self._name, "")):
            return False
        if self.open is None:
            return True
        again = statement in self.open.statements
        self.open.statements.add(statement)
        return not again

    async def _roll_back(self) -> None:
        if self.open is None:
            if self.actor is not None and not self.actor.dead:
                raise _gone()
            return
        self.open = None
        await self.raw.execute("rollback")
        if self.actor is not None:
            self.actor.let_go = True

    async def _drop(self) -> None:
        await self.bury()
        if self.actor is not None:
            self.actor.let_go = True
        raise _gone()

    def _committed(self) -> None:
        if self.open is not None:
            self.committed.append(self.open)
        self.open = None
        if self.actor is not None:
            self.actor.let_go = True


def _gone() -> Exception:
    return asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")


class _Pool:
    """A pool of one."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def acquire(self) -> WiredConnection:
        return WiredConnection(self._wire)

    async def release(self, conn: WiredConnection, *, timeout: float) -> None:  # noqa: ASYNC109
        """There is nobody else to give it to."""


class WiredConnection:
    """What the code takes for a connection."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def execute(self, statement: str, *args: Any) -> Any:
        return await self._wire.run(statement, lambda: self._wire.raw.execute(statement, *args))

    async def fetch(self, statement: str, *args: Any) -> Any:
        if statement in _UNROLLED and self._wire.actor is not None:
            return await _UNROLLED[statement](self, *args)
        return await self._wire.run(statement, lambda: self._wire.raw.fetch(statement, *args))

    async def fetchval(self, statement: str, *args: Any) -> Any:
        if statement in _UNROLLED and self._wire.actor is not None:
            return await _UNROLLED[statement](self, *args)
        return await self._wire.run(statement, lambda: self._wire.raw.fetchval(statement, *args))

    async def fetchrow(self, statement: str, *args: Any) -> Any:
        row = await self._wire.run(statement, lambda: self._wire.raw.fetchrow(statement, *args))
        if row is not None and label(statement) == "take_job" and self._wire.open is not None:
            self._wire.open.taken.append((JobRef(*(row[name] for name in JobRef.__struct_fields__)), JobRef(*args[:5])))
        return row

    async def _lock_order(self, order_id: str) -> Any:
        """What the function runs, one statement after the other: others come in between, as they do at the function."""
        for lock in orders._LOCKS:
            await self.fetch(lock, order_id)
        return await self.fetch(orders._FACTS, order_id)

    async def _take_with_order(
        self, installation: str, job_id: str, kind: str, order_id: str, generation: int, lease: timedelta
    ) -> Any:
        async with self.transaction():
            for lock in orders._LOCKS:
                await self.fetch(lock, order_id)
            row = await self.fetchrow(jobs._TAKE, installation, job_id, kind, order_id, generation, lease)
            if row is None:
                return []
            job = {**row, "job_id": row["id"], "job_order_id": row["order_id"], "order_id": None}
            return [job | dict(fact) for fact in await self._lock_order(order_id)] or [job]

    async def _cancel_if_unchanged(
        self, order_id: str, mark: str, held: list[str], shared: list[str], *args: Any
    ) -> bool:
        *written, captures, heirs, dues = args
        async with self.transaction():
            if not await self._is_marked(order_id, mark):
                return False
            await self.execute(CANCEL_ORDER, order_id, held, shared)
            await self.execute(WRITE_CANCELLATION, order_id, *written)
            if captures:
                await self.execute(jobs._HAND_OVER, order_id, captures, heirs, dues, written[2], written[-1])
            return True

    async def _is_marked(self, order_id: str, mark: str) -> bool:
        return any(fact["mark"] == mark for fact in await self._lock_order(order_id))

    def terminate(self) -> None:
        """The line has dropped already."""

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """As Medusa's own transactions, which are not named by ``Wire.transaction``."""
        await self.execute("begin")
        try:
            yield
        except BaseException:
            await self._wire.run("rollback", self._nothing)
            raise
        await self.execute("commit")

    async def _nothing(self) -> None:
        return None


_UNROLLED: Final[dict[str, Callable[..., Awaitable[Any]]]] = {
    orders._LOCK_ORDER: lambda conn, *args: conn._lock_order(*args),
    at_once._TAKE: WiredConnection._take_with_order,
    at_once._CANCEL: WiredConnection._cancel_if_unchanged,
}
"""Functions, as the statements that they consist of: others come in between, as they do at the function."""
